import { PasswordInput, Select, SimpleGrid, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import { useOptions } from '../../api/records';
import type { CreatedUser, UserRecord } from '../../api/types';
import { useSignedIn } from '../../lib/session';
import { email, PASSWORD_LENGTH, required } from '../../lib/validate';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { useUserActions } from './actions';

const STATUSES = ['active', 'pending', 'suspended'] as const;

interface UserFormProps {
  record?: UserRecord;
  onClose: () => void;
  onCreated?: (user: CreatedUser, password?: string) => void;
}

export function UserForm({ record, onClose, onCreated }: UserFormProps) {
  const { t } = useTranslation();
  const session = useSignedIn();
  const actions = useUserActions();
  const admin = session.role === 'admin';
  const roles = admin ? (['user', 'tenant_admin', 'admin'] as const) : (['user', 'tenant_admin'] as const);
  const tenants = useOptions('tenants', admin);
  // With a single tenant there is nothing to choose.
  const onlyTenant = tenants.data?.length === 1 ? (tenants.data[0]?.id ?? '') : '';
  const form = useForm({
    initialValues: {
      email: record?.email ?? '',
      name: record?.name ?? '',
      role: record?.role ?? 'user',
      status: record?.status ?? 'active',
      tenant_id: record?.tenant_id ?? (admin ? onlyTenant : session.tenantId),
      product_id: record?.product_id ?? '',
      password: '',
    },
    validate: {
      email: email(t),
      name: required(t),
      tenant_id: required(t),
      password: (value) =>
        value && value.length < PASSWORD_LENGTH
          ? t('validation.passwordLength', { count: PASSWORD_LENGTH })
          : null,
    },
  });
  const submit = async ({ password, ...values }: typeof form.values) => {
    const body = { ...values, email: values.email.trim(), name: values.name.trim() };
    if (record) {
      await actions.update(record.id, password ? { ...body, password, passwordConfirm: password } : body);
      notifyDone(t('common.saved'));
      onClose();
    } else {
      const created = await actions.create(password ? { ...body, password } : body);
      onClose();
      onCreated?.(created, created.password);
    }
  };
  return (
    <FormDialog
      title={record ? t('users.editTitle') : t('users.new')}
      form={form}
      onClose={onClose}
      onSubmit={submit}
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label={t('field.email')}
          type="email"
          required
          data-autofocus
          autoComplete="off"
          maxLength={254}
          {...form.getInputProps('email')}
        />
        <TextInput
          label={t('field.name')}
          required
          autoComplete="off"
          maxLength={200}
          {...form.getInputProps('name')}
        />
        {admin && (
          <RecordSelect
            collection="tenants"
            label={t('field.tenant')}
            required
            {...form.getInputProps('tenant_id')}
          />
        )}
        <RecordSelect
          collection="products"
          label={t('field.product')}
          description={t('users.productHint')}
          clearable
          {...form.getInputProps('product_id')}
        />
        <Select
          label={t('field.role')}
          allowDeselect={false}
          data={roles.map((value) => ({ value, label: t(`role.${value}`) }))}
          {...form.getInputProps('role')}
        />
        <Select
          label={t('field.status')}
          allowDeselect={false}
          data={STATUSES.map((value) => ({ value, label: t(`userStatus.${value}`) }))}
          {...form.getInputProps('status')}
        />
      </SimpleGrid>
      <PasswordInput
        label={record ? t('field.newPassword') : t('field.password')}
        description={record ? t('users.newPasswordHint') : t('users.passwordHint')}
        autoComplete="new-password"
        {...form.getInputProps('password')}
      />
    </FormDialog>
  );
}
