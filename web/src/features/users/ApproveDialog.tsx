import { Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useTranslation } from 'react-i18next';
import type { UserRecord } from '../../api/types';
import { required } from '../../lib/validate';
import { FormDialog } from '../../ui/FormDialog';
import { notifyDone } from '../../ui/notify';
import { RecordSelect } from '../../ui/selects';
import { useUserActions } from './actions';

/** Approving gives access and a product in one step: without a product there is no budget to use. */
export function ApproveDialog({ user, onClose }: { user: UserRecord; onClose: () => void }) {
  const { t } = useTranslation();
  const actions = useUserActions();
  const name = user.name || user.email;
  const form = useForm({
    initialValues: { product_id: user.product_id ?? '' },
    validate: { product_id: required(t) },
  });
  return (
    <FormDialog
      title={t('users.approveTitle', { name })}
      form={form}
      size="md"
      submitLabel={t('users.approve')}
      onClose={onClose}
      onSubmit={async ({ product_id }) => {
        await actions.update(user.id, { status: 'active', product_id });
        notifyDone(t('users.statusDone', { name, status: t('userStatus.active') }));
        onClose();
      }}
    >
      <Text size="sm">{t('users.approveText', { name })}</Text>
      <RecordSelect
        collection="products"
        label={t('field.product')}
        required
        {...form.getInputProps('product_id')}
      />
    </FormDialog>
  );
}
