import { Alert, Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { pb } from '../../api/client';
import type { ServerInfo } from '../../api/types';
import { email, passwordRules, required } from '../../lib/validate';
import { CardPage } from '../../ui/CardPage';
import { FormError, useFormSubmit } from '../../ui/FormDialog';
import { SignInForm } from '../session/SignInForm';

/** Signing in to the chat, and signing up where the tenant allows it. */
export function ChatSignIn({ tenant }: { tenant: ServerInfo['tenant'] }) {
  const { t } = useTranslation();
  const [mode, setMode] = useState<'in' | 'up' | 'waiting'>('in');
  const toSignIn = (
    <Anchor component="button" type="button" size="sm" ta="left" onClick={() => setMode('in')}>
      {t('chat.toSignIn')}
    </Anchor>
  );
  if (mode === 'waiting') {
    return (
      <CardPage brand={tenant?.name} title={t('chat.signUpDoneTitle')}>
        <Alert color="teal" role="status">
          {t('chat.signUpDone')}
        </Alert>
        {toSignIn}
      </CardPage>
    );
  }
  if (mode === 'up' && tenant) {
    return (
      <CardPage brand={tenant.name} title={t('chat.signUp')}>
        <SignUpForm tenantId={tenant.id} onDone={() => setMode('waiting')} />
        {toSignIn}
      </CardPage>
    );
  }
  return (
    <CardPage brand={tenant?.name} title={t('chat.signIn')} lead={t('chat.signInLead')}>
      <SignInForm trySuperuser={false} onDone={() => undefined} />
      <Anchor component={Link} to="/reset-password" size="sm">
        {t('login.forgot')}
      </Anchor>
      {tenant?.signup_enabled && (
        <Anchor component="button" type="button" size="sm" ta="left" onClick={() => setMode('up')}>
          {t('chat.toSignUp')}
        </Anchor>
      )}
    </CardPage>
  );
}

function SignUpForm({ tenantId, onDone }: { tenantId: string; onDone: () => void }) {
  const { t } = useTranslation();
  const form = useForm({
    initialValues: { email: '', name: '', password: '', passwordConfirm: '' },
    validate: { email: email(t), name: required(t), ...passwordRules(t) },
  });
  const submit = useFormSubmit(form, async (values) => {
    await pb.collection('users').create({ ...values, email: values.email.trim(), tenant_id: tenantId });
    onDone();
  });
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
          required
          maxLength={200}
          {...form.getInputProps('name')}
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
        <FormError error={submit.error} form={form} />
        <Button type="submit" loading={submit.pending}>
          {t('chat.signUp')}
        </Button>
      </Stack>
    </form>
  );
}
