import { Alert, Button, PasswordInput, Stack, Text, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { ClientResponseError } from 'pocketbase';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { errorMessage } from '../../api/errors';
import { type CodeNeeded, confirmCode, signIn } from './signIn';

interface SignInFormProps {
  trySuperuser: boolean;
  onDone: () => void;
}

export function SignInForm({ trySuperuser, onDone }: SignInFormProps) {
  const { t } = useTranslation();
  const [needed, setNeeded] = useState<CodeNeeded | null>(null);
  const form = useForm({
    initialValues: { email: '', password: '' },
    validate: {
      email: (value) => (value.trim() ? null : t('validation.required')),
      password: (value) => (value ? null : t('validation.required')),
    },
  });
  const submit = useMutation({
    mutationFn: () => signIn(form.values.email.trim(), form.values.password, trySuperuser),
    onSuccess: (code) => (code ? setNeeded(code) : onDone()),
  });
  if (needed) return <CodeForm needed={needed} email={form.values.email} onDone={onDone} />;
  const wrong = submit.error instanceof ClientResponseError && submit.error.status === 400;
  return (
    <form onSubmit={form.onSubmit(() => submit.mutate())} noValidate>
      <Stack>
        <TextInput
          label={t('field.email')}
          type="email"
          autoComplete="username"
          required
          {...form.getInputProps('email')}
        />
        <PasswordInput
          label={t('field.password')}
          autoComplete="current-password"
          required
          {...form.getInputProps('password')}
        />
        {submit.error && (
          <Alert color="red" role="alert">
            {wrong ? t('login.wrong') : errorMessage(submit.error, t)}
          </Alert>
        )}
        <Button type="submit" loading={submit.isPending}>
          {t('login.submit')}
        </Button>
      </Stack>
    </form>
  );
}

function CodeForm({ needed, email, onDone }: { needed: CodeNeeded; email: string; onDone: () => void }) {
  const { t } = useTranslation();
  const form = useForm({
    initialValues: { code: '' },
    validate: { code: (value) => (value.trim() ? null : t('validation.required')) },
  });
  const submit = useMutation({ mutationFn: () => confirmCode(needed, form.values.code), onSuccess: onDone });
  return (
    <form onSubmit={form.onSubmit(() => submit.mutate())} noValidate>
      <Stack>
        <Text size="sm">{t('login.codeHint', { email })}</Text>
        <TextInput
          label={t('login.code')}
          autoComplete="one-time-code"
          inputMode="numeric"
          autoFocus
          {...form.getInputProps('code')}
        />
        {submit.error && (
          <Alert color="red" role="alert">
            {errorMessage(submit.error, t)}
          </Alert>
        )}
        <Button type="submit" loading={submit.isPending}>
          {t('login.codeSubmit')}
        </Button>
      </Stack>
    </form>
  );
}
