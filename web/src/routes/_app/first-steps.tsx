import { Alert, Button, Group, Stack } from '@mantine/core';
import { createFileRoute, Link } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { StepList, useSteps } from '../../features/first-steps/StepList';
import { PageHeader } from '../../ui/PageHeader';

export const Route = createFileRoute('/_app/first-steps')({ component: FirstSteps });

function FirstSteps() {
  const { t } = useTranslation();
  const { done } = useSteps();
  return (
    <>
      <PageHeader title={t('steps.title')} lead={t('steps.lead')} />
      <Stack maw={720}>
        <StepList />
        {Object.values(done).every(Boolean) && <Alert color="teal">{t('steps.finished')}</Alert>}
        <Group>
          <Button component={Link} to="/" variant="default">
            {t('steps.skip')}
          </Button>
          <Button component={Link} to="/chat" variant="default">
            {t('steps.openChat')}
          </Button>
        </Group>
      </Stack>
    </>
  );
}
