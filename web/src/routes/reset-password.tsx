import { Alert, Anchor, Button, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { createFileRoute, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { pb } from '../api/client';
import { passwordRules } from '../lib/validate';
import { CardPage } from '../ui/CardPage';
import { FormError, useFormSubmit } from '../ui/FormDialog';

export const Route = createFileRoute('/reset-password')({
  validateSearch: (search: Record<string, unknown>): { token?: string } =>
    typeof search.token === 'string' ? { token: search.token } : {},
  component: ResetPassword,
});

function ResetPassword() {
  const { t } = useTranslation();
  const { token } = Route.useSearch();
  const { info } = Route.useRouteContext();
  return (
    <CardPage brand={info.tenant?.name} title={token ? t('reset.confirmTitle') : t('reset.requestTitle')}>
      {token ? <ConfirmForm token={token} /> : <RequestForm />}
      <Anchor component={Link} to={info.component === 'chat' ? '/chat' : '/login'} size="sm">
        {t('reset.toLogin')}
      </Anchor>
    </CardPage>
  );
}

function RequestForm() {
  const { t } = useTranslation();
  const [done, setDone] = useState(false);
  const form = useForm({
    initialValues: { email: '' },
    validate: { email: (value) => (value.includes('@') ? null : t('validation.email')) },
  });
  const submit = useFormSubmit(form, async ({ email }) => {
    await pb.collection('users').requestPasswordReset(email.trim());
    setDone(true);
  });
  if (done)
    return (
      <Alert color="teal" role="status">
        {t('reset.requested')}
      </Alert>
    );
  return (
    <form onSubmit={submit.onSubmit} noValidate>
      <Stack>
        <Text size="sm">{t('reset.requestText')}</Text>
        <TextInput
          label={t('field.email')}
          type="email"
          autoComplete="username"
          required
          {...form.getInputProps('email')}
        />
        <FormError error={submit.error} form={form} />
        <Button type="submit" loading={submit.pending}>
          {t('reset.requestSubmit')}
        </Button>
      </Stack>
    </form>
  );
}

function ConfirmForm({ token }: { token: string }) {
  const { t } = useTranslation();
  const [done, setDone] = useState(false);
  const form = useForm({ initialValues: { password: '', passwordConfirm: '' }, validate: passwordRules(t) });
  const submit = useFormSubmit(form, async ({ password, passwordConfirm }) => {
    await pb.collection('users').confirmPasswordReset(token, password, passwordConfirm);
    setDone(true);
  });
  if (done)
    return (
      <Alert color="teal" role="status">
        {t('reset.confirmed')}
      </Alert>
    );
  return (
    <form onSubmit={submit.onSubmit} noValidate>
      <Stack>
        <PasswordInput
          label={t('field.newPassword')}
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
        <FormError error={submit.error} form={form} />
        <Button type="submit" loading={submit.pending}>
          {t('reset.confirmSubmit')}
        </Button>
      </Stack>
    </form>
  );
}
