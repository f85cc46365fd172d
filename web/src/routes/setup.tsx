import { Alert, Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQueryClient } from '@tanstack/react-query';
import { createFileRoute, Link, useNavigate } from '@tanstack/react-router';
import { ClientResponseError, type RecordModel } from 'pocketbase';
import { useTranslation } from 'react-i18next';
import { call, pb } from '../api/client';
import { email, passwordRules } from '../lib/validate';
import { CardPage } from '../ui/CardPage';
import { FormError, useFormSubmit } from '../ui/FormDialog';

export const Route = createFileRoute('/setup')({
  validateSearch: (search: Record<string, unknown>): { token?: string } =>
    search.token === undefined ? {} : { token: String(search.token) },
  component: Setup,
});

function Setup() {
  const { t } = useTranslation();
  const { token } = Route.useSearch();
  return (
    <CardPage title={t('setup.title')} lead={token ? t('setup.lead') : undefined}>
      {token ? <SetupForm token={token} /> : <Alert color="yellow">{t('setup.noToken')}</Alert>}
      <Anchor component={Link} to="/login" size="sm">
        {t('setup.toLogin')}
      </Anchor>
    </CardPage>
  );
}

function SetupForm({ token }: { token: string }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const form = useForm({
    initialValues: { email: '', name: '', organisation: '', password: '', passwordConfirm: '' },
    validate: { email: email(t), ...passwordRules(t) },
  });
  const submit = useFormSubmit(form, async ({ passwordConfirm: _, ...values }) => {
    const answer = await call<{ token: string; record: RecordModel }>('POST', '/api/setup', {
      token,
      email: values.email.trim(),
      password: values.password,
      name: values.name.trim() || undefined,
      organisation: values.organisation.trim() || undefined,
    });
    pb.authStore.save(answer.token, answer.record);
    queries.clear();
    await navigate({ to: '/first-steps' });
  });
  const refused = submit.error instanceof ClientResponseError && submit.error.status === 403;
  return (
    <form onSubmit={submit.onSubmit} noValidate>
      <Stack>
        <TextInput
          label={t('field.email')}
          type="email"
          autoComplete="username"
          required
          {...form.getInputProps('email')}
        />
        <TextInput
          label={t('field.name')}
          autoComplete="name"
          maxLength={200}
          {...form.getInputProps('name')}
        />
        <TextInput
          label={t('setup.organisation')}
          description={t('common.optional')}
          autoComplete="organization"
          maxLength={200}
          {...form.getInputProps('organisation')}
        />
        <PasswordInput
          label={t('field.password')}
          autoComplete="new-password"
          required
          {...form.getInputProps('password')}
        />
        <PasswordInput
          label={t('field.repeatPassword')}
          autoComplete="new-password"
          required
          {...form.getInputProps('passwordConfirm')}
        />
        {refused ? (
          <Alert color="red" role="alert">
            {t('setup.refused')}
          </Alert>
        ) : (
          <FormError error={submit.error} form={form} />
        )}
        <Button type="submit" loading={submit.pending}>
          {t('setup.submit')}
        </Button>
      </Stack>
    </form>
  );
}
