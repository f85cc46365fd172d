import { createFileRoute, useNavigate } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useTenantColumns } from '../../features/tenants/columns';
import { TenantForm } from '../../features/tenants/form';
import { parseListSearch } from '../../lib/listSearch';
import { RecordPage } from '../../ui/RecordPage';

export const Route = createFileRoute('/_app/tenants/')({
  validateSearch: parseListSearch,
  component: Tenants,
});

function Tenants() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const columns = useTenantColumns();
  return (
    <RecordPage
      collection="tenants"
      title={t('tenants.title')}
      newLabel={t('tenants.new')}
      empty={t('tenants.empty')}
      emptyHint={t('tenants.emptyHint')}
      columns={columns}
      searchFields={['name', 'slug', 'domain']}
      defaultSort="name"
      nameOf={(tenant) => tenant.name}
      actions={(tenant) => [
        {
          label: t('common.details'),
          onClick: () => void navigate({ to: `/tenants/${tenant.id}` as never }),
        },
      ]}
      deleteText={(tenant) => t('tenants.deleteText', { name: tenant.name })}
      form={(props) => <TenantForm {...props} />}
    />
  );
}
