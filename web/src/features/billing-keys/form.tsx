import { Checkbox, NumberInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { required } from '../../lib/validate';
import { FormDialog } from '../../ui/FormDialog';
import { RecordSelect } from '../../ui/selects';
import { type CreatedBillingKey, SCOPES, type Scope, useBillingKeyActions } from './queries';

const USUAL_RATE = 60_000;
const HIGHEST_RATE = 10_000_000;

interface BillingKeyFormProps {
  onClose: () => void;
  onKey: (key: CreatedBillingKey) => void;
}

export function BillingKeyForm({ onClose, onKey }: BillingKeyFormProps) {
  const { t } = useTranslation();
  const actions = useBillingKeyActions();
  const form = useForm({
    initialValues: {
      name: '',
      scopes: [] as string[],
      tenant_id: '',
      requests_per_minute: USUAL_RATE as number | string,
    },
    validate: {
      name: required(t),
      scopes: (scopes) => (scopes.length === 0 ? t('billingKeys.scopesRequired') : null),
    },
  });
  const all = form.values.scopes.includes('manage');
  return (
    <FormDialog
      title={t('billingKeys.new')}
      form={form}
      size="md"
      onClose={onClose}
      onSubmit={async ({ name, scopes, tenant_id, requests_per_minute }) => {
        const key = await actions.create({
          name: name.trim(),
          scopes: (all ? ['manage'] : scopes) as Scope[],
          tenant_id: tenant_id || undefined,
          requests_per_minute: Number(requests_per_minute) || undefined,
        });
        onClose();
        onKey(key);
      }}
    >
      <TextInput
        label={t('field.name')}
        description={t('billingKeys.nameHint')}
        required
        data-autofocus
        maxLength={200}
        {...form.getInputProps('name')}
      />
      <Checkbox.Group label={t('billingKeys.scopes')} required {...form.getInputProps('scopes')}>
        <Stack gap="xs" mt="xs">
          {SCOPES.map((scope) => (
            <Checkbox
              key={scope}
              value={scope}
              label={t(`billingKeys.scope.${scope}`)}
              description={t(`billingKeys.scopeHint.${scope}`)}
              disabled={all && scope !== 'manage'}
            />
          ))}
        </Stack>
      </Checkbox.Group>
      <RecordSelect
        collection="tenants"
        label={t('field.tenant')}
        description={t('billingKeys.tenantHint')}
        clearable
        {...form.getInputProps('tenant_id')}
      />
      <NumberInput
        label={t('billingKeys.rate')}
        min={1}
        max={HIGHEST_RATE}
        allowDecimal={false}
        {...form.getInputProps('requests_per_minute')}
      />
    </FormDialog>
  );
}
