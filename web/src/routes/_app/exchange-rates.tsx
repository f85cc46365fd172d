import { Box } from '@mantine/core';
import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from 'react-i18next';
import { useExchangeRateColumns } from '../../features/exchange-rates/columns';
import { ExchangeRateForm } from '../../features/exchange-rates/form';
import { RateWarnings } from '../../features/exchange-rates/RateWarnings';
import { parseListSearch } from '../../lib/listSearch';
import { RecordPage } from '../../ui/RecordPage';

export const Route = createFileRoute('/_app/exchange-rates')({
  validateSearch: parseListSearch,
  component: ExchangeRates,
});

function ExchangeRates() {
  const { t } = useTranslation();
  const columns = useExchangeRateColumns();
  return (
    <RecordPage
      collection="exchange_rates"
      title={t('rates.title')}
      lead={t('rates.lead')}
      newLabel={t('rates.new')}
      empty={t('rates.empty')}
      emptyHint={t('rates.emptyHint')}
      columns={columns}
      searchFields={['base', 'quote', 'source']}
      defaultSort="-date"
      nameOf={(rate) => `${rate.base} → ${rate.quote}`}
      deleteText={(rate) => t('common.deleteText', { name: `${rate.base} → ${rate.quote}` })}
      form={(props) => <ExchangeRateForm {...props} />}
    >
      <Box mb="md">
        <RateWarnings />
      </Box>
    </RecordPage>
  );
}
