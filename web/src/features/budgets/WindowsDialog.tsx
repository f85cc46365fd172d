import { Alert, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { type Budgets, MAX_WINDOWS, type Owners, useBudgetActions } from './queries';
import { draftOf, specOf, WindowFields } from './WindowFields';

interface Props {
  owners: Owners;
  id: string;
  budgets: Budgets;
  onClose: () => void;
}

export function WindowsDialog({ owners, id, budgets, onClose }: Props) {
  const { t } = useTranslation();
  const actions = useBudgetActions(owners, id);
  const form = useForm({
    initialValues: { windows: budgets.windows.map(draftOf) },
    validate: {
      windows: (drafts) =>
        drafts.every((draft) => /^[a-z0-9_-]{1,32}$/.test(draft.name)) ? null : t('budgets.badName'),
    },
  });
  return (
    <FormDialog
      title={t('budgets.editTitle')}
      form={form}
      onClose={onClose}
      onSubmit={async ({ windows }) => {
        await actions.set(windows.map(specOf));
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      <Text size="sm" c="dimmed">
        {t('budgets.editHint', { zone: budgets.time_zone })}
      </Text>
      <WindowFields
        drafts={form.values.windows}
        onChange={(windows) => form.setFieldValue('windows', windows)}
        currency={budgets.currency}
        most={MAX_WINDOWS}
      />
      {form.errors.windows && <Alert color="red">{form.errors.windows}</Alert>}
    </FormDialog>
  );
}
