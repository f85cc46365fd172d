import { PasswordInput, Select, Switch, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useSaveRecord } from '../../api/records';
import type { ProviderKeyRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { ErrorNote } from '../../ui/ErrorNote';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { useProviders } from './queries';

/** Which fields there are follows from what the server says the provider needs. */
export function ProviderKeyForm({ record, onClose }: { record?: ProviderKeyRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const providers = useProviders();
  const save = useSaveRecord('provider_keys');
  const infoOf = (name: string) => providers.data?.find((provider) => provider.provider === name);
  const form = useForm({
    initialValues: {
      name: record?.name ?? '',
      provider: record?.provider ?? '',
      base_url: record?.base_url ?? '',
      region: record?.region ?? '',
      secret: '',
      settings: (record?.settings ?? {}) as Record<string, string>,
      tenant_id: record?.tenant_id ?? '',
      active: record?.active ?? true,
    },
    validate: {
      name: required(t),
      provider: required(t),
      base_url: (value, { provider }) => {
        const info = infoOf(provider);
        return info?.needs_base_url && !info.base_url && !value.trim() ? t('validation.required') : null;
      },
      region: (value, { provider }) =>
        infoOf(provider)?.needs_region && !value.trim() ? t('validation.required') : null,
      secret: (value, { provider }) =>
        infoOf(provider)?.needs_secret && !record?.secret && !value ? t('validation.required') : null,
    },
  });
  const chosen = infoOf(form.values.provider);
  return (
    <FormDialog
      title={record ? t('providerKeys.editTitle') : t('providerKeys.new')}
      form={form}
      onClose={onClose}
      onSubmit={async ({ secret, ...values }) => {
        const settings = Object.fromEntries(
          Object.entries(values.settings).filter(([, value]) => value !== ''),
        );
        // An empty secret is left out, so that the stored one stays.
        await save.mutateAsync({
          id: record?.id,
          body: { ...values, settings, ...(secret ? { secret } : {}) },
        });
        notifyDone(t('common.saved'));
        onClose();
      }}
    >
      <ErrorNote error={providers.error} title={t('error.loadFailed')} onRetry={() => providers.refetch()} />
      <TextInput
        label={t('field.name')}
        required
        data-autofocus
        maxLength={200}
        {...form.getInputProps('name')}
      />
      <Select
        label={t('field.provider')}
        required
        allowDeselect={false}
        description={form.values.provider === 'demo' ? t('providerKeys.demoHint') : undefined}
        data={providers.data?.map((provider) => ({
          value: provider.provider,
          label: provider.supported
            ? provider.label
            : t('providerKeys.unsupported', { label: provider.label }),
          disabled: !provider.supported,
        }))}
        {...form.getInputProps('provider')}
      />
      {chosen && (chosen.needs_base_url || chosen.base_url) && (
        <TextInput
          label={t('field.baseUrl')}
          description={
            chosen.base_url ? t('providerKeys.baseUrlDefault', { url: chosen.base_url }) : undefined
          }
          placeholder={chosen.base_url || 'https://'}
          type="url"
          maxLength={500}
          {...form.getInputProps('base_url')}
        />
      )}
      {(chosen?.needs_region || chosen?.takes_region) && (
        <TextInput
          label={t('field.region')}
          description={t(chosen.needs_region ? 'providerKeys.regionNeeded' : 'providerKeys.regionHint')}
          required={chosen.needs_region}
          placeholder={chosen.needs_region ? 'eu-central-1' : 'eu'}
          maxLength={64}
          {...form.getInputProps('region')}
        />
      )}
      {/* A compatible server may or may not ask for a secret. */}
      {(chosen?.needs_secret || chosen?.provider === 'openai_compatible') && (
        <PasswordInput
          label={t('field.secret')}
          description={
            record?.secret
              ? t('providerKeys.secretKeep')
              : t(chosen.needs_secret ? 'providerKeys.secretHint' : 'providerKeys.secretOptional')
          }
          placeholder={record?.secret}
          autoComplete="off"
          maxLength={20_000}
          {...form.getInputProps('secret')}
        />
      )}
      {chosen?.settings.map((setting) => (
        <TextInput
          key={setting.name}
          label={setting.label}
          maxLength={1000}
          value={form.values.settings[setting.name] ?? ''}
          onChange={(event) =>
            form.setFieldValue('settings', {
              ...form.values.settings,
              [setting.name]: event.currentTarget.value,
            })
          }
        />
      ))}
      <RecordSelect
        collection="tenants"
        label={t('field.tenant')}
        description={t('providerKeys.tenantHint')}
        placeholder={t('providerKeys.allTenants')}
        clearable
        {...form.getInputProps('tenant_id')}
      />
      <Switch label={t('field.active')} {...form.getInputProps('active', { type: 'checkbox' })} />
    </FormDialog>
  );
}
