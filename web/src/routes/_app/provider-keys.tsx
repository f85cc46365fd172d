import { createFileRoute } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { ProviderKeyRecord } from '../../api/types';
import { useProviderKeyColumns } from '../../features/provider-keys/columns';
import { ProviderKeyForm } from '../../features/provider-keys/form';
import { TestDialog } from '../../features/provider-keys/TestDialog';
import { parseListSearch } from '../../lib/listSearch';
import { RecordPage } from '../../ui/RecordPage';

export const Route = createFileRoute('/_app/provider-keys')({
  validateSearch: parseListSearch,
  component: ProviderKeys,
});

function ProviderKeys() {
  const { t } = useTranslation();
  const columns = useProviderKeyColumns();
  const [tested, setTested] = useState<ProviderKeyRecord | null>(null);
  return (
    <RecordPage
      collection="provider_keys"
      title={t('providerKeys.title')}
      newLabel={t('providerKeys.new')}
      empty={t('providerKeys.empty')}
      emptyHint={t('providerKeys.emptyHint')}
      columns={columns}
      searchFields={['name', 'provider', 'base_url']}
      defaultSort="name"
      nameOf={(key) => key.name}
      deleteText={(key) => t('providerKeys.deleteText', { name: key.name })}
      actions={(key) => [{ label: t('providerKeys.test'), onClick: () => setTested(key) }]}
      form={(props) => <ProviderKeyForm {...props} />}
    >
      {tested && <TestDialog record={tested} onClose={() => setTested(null)} />}
    </RecordPage>
  );
}
