import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useProductColumns } from '../../features/products/columns';
import { ProductForm } from '../../features/products/form';
import { parseListSearch } from '../../lib/listSearch';
import { RecordPage } from '../../ui/RecordPage';

export const Route = createFileRoute('/_app/products')({
  validateSearch: parseListSearch,
  component: Products,
});

function Products() {
  const { t } = useTranslation();
  const columns = useProductColumns();
  return (
    <RecordPage
      collection="products"
      title={t('products.title')}
      newLabel={t('products.new')}
      empty={t('products.empty')}
      emptyHint={t('products.emptyHint')}
      columns={columns}
      searchFields={['name', 'description']}
      defaultSort="name"
      nameOf={(product) => product.name}
      deleteText={(product) => t('common.deleteText', { name: product.name })}
      form={(props) => <ProductForm {...props} />}
    />
  );
}
