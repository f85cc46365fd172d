import { Alert, Button, Card, PasswordInput, Select, Stack, TextInput, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { pb } from '../../api/client';
import { LANGUAGE_NAMES, LANGUAGES } from '../../lib/i18n';
import { useSignedIn } from '../../lib/session';
import { passwordRules, required } from '../../lib/validate';
import { FormError, useFormSubmit } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { PageHeader } from '../../ui/PageHeader';

export const Route = createFileRoute('/_app/account')({ component: Account });

function Account() {
  const { t } = useTranslation();
  const session = useSignedIn();
  return (
    <>
      <PageHeader title={t('account.title')} lead={session.email} />
      {session.superuser ? (
        <Alert>{t('account.superuser')}</Alert>
      ) : (
        <Stack maw={480}>
          <ProfileForm />
          <PasswordForm />
        </Stack>
      )}
    </>
  );
}

function ProfileForm() {
  const { t } = useTranslation();
  const session = useSignedIn();
  const form = useForm({
    initialValues: { name: session.record?.name ?? '', locale: session.record?.locale ?? '' },
    validate: { name: required(t) },
  });
  const submit = useFormSubmit(form, async (values) => {
    await pb.collection('users').update(session.id, values);
    notifyDone(t('common.saved'));
  });
  return (
    <Card withBorder>
      <form onSubmit={submit.onSubmit} noValidate>
        <Stack>
          <Title order={2}>{t('account.profile')}</Title>
          <TextInput
            label={t('field.name')}
            autoComplete="name"
            required
            maxLength={200}
            {...form.getInputProps('name')}
          />
          <Select
            label={t('account.mailLanguage')}
            data={LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value] }))}
            placeholder={t('account.tenantsLanguage')}
            clearable
            {...form.getInputProps('locale')}
            value={form.values.locale || null}
            onChange={(value) => form.setFieldValue('locale', value ?? '')}
          />
          <FormError error={submit.error} form={form} />
          <Button type="submit" loading={submit.pending} style={{ alignSelf: 'flex-start' }}>
            {t('common.save')}
          </Button>
        </Stack>
      </form>
    </Card>
  );
}

function PasswordForm() {
  const { t } = useTranslation();
  const session = useSignedIn();
  const form = useForm({
    initialValues: { oldPassword: '', password: '', passwordConfirm: '' },
    validate: { oldPassword: required(t), ...passwordRules(t) },
  });
  const submit = useFormSubmit(form, async (values) => {
    await pb.collection('users').update(session.id, values);
    // A new password ends all sessions, this one too; so it is renewed at once.
    await pb.collection('users').authWithPassword(session.email, values.password);
    form.reset();
    notifyDone(t('account.passwordSaved'));
  });
  return (
    <Card withBorder>
      <form onSubmit={submit.onSubmit} noValidate>
        <Stack>
          <Title order={2}>{t('account.password')}</Title>
          <PasswordInput
            label={t('field.oldPassword')}
            autoComplete="current-password"
            required
            {...form.getInputProps('oldPassword')}
          />
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
          <Button type="submit" loading={submit.pending} style={{ alignSelf: 'flex-start' }}>
            {t('account.password')}
          </Button>
        </Stack>
      </form>
    </Card>
  );
}
