import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useCount } from '../../api/records';
import { useModelColumns } from '../../features/models/columns';
import { ModelForm } from '../../features/models/form';
import { parseListSearch } from '../../lib/listSearch';
import { RecordPage } from '../../ui/RecordPage';

export const Route = createFileRoute('/_app/models')({ validateSearch: parseListSearch, component: Models });

function Models() {
  const { t } = useTranslation();
  const columns = useModelColumns();
  const keys = useCount('provider_keys');
  return (
    <RecordPage
      collection="models"
      title={t('models.title')}
      newLabel={t('models.new')}
      empty={t('models.empty')}
      emptyHint={keys.data === 0 ? t('models.emptyNoKeys') : t('models.emptyHint')}
      columns={columns}
      searchFields={['name']}
      defaultSort="name"
      nameOf={(model) => model.name}
      deleteText={(model) => t('models.deleteText', { name: model.name })}
      form={(props) => <ModelForm {...props} />}
    />
  );
}
