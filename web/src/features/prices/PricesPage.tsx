import { Badge, Button, Card, Group, Stack, Text, Title } from '@mantine/core';
import { IconUpload } from '@tabler/icons-react';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { BookModel, PriceEdition } from '../../api/types';
import { formatDate, formatNumber } from '../../lib/format';
import { useLocale } from '../../lib/i18n';
import { useListSearch } from '../../lib/listSearch';
import { type Column, DataTable } from '../../ui/DataTable';
import { EmptyState } from '../../ui/EmptyState';
import { PageHeader } from '../../ui/PageHeader';
import { SearchBox } from '../../ui/SearchBox';
import { shownPrice } from './amounts';
import { modelName } from './Differences';
import { ImportDialog } from './ImportDialog';
import { usePriceBook } from './queries';

/** The first edition holds for ever. */
const ALWAYS = '1970';

type Row = BookModel & { id: string };

export function PricesPage() {
  const { t } = useTranslation();
  const locale = useLocale();
  const { search, set } = useListSearch();
  const [importing, setImporting] = useState(false);
  const book = usePriceBook(search.q ?? '');
  const models = book.data?.models.map((model) => ({ ...model, id: modelName(model) }));
  const price = (name: string) => (row: Row) => {
    const value = row.prices[name];
    return value === undefined ? '–' : shownPrice(name, value);
  };
  const columns: Column<Row>[] = [
    { key: 'model', header: t('field.model'), cell: (row) => row.id },
    { key: 'input', header: t('models.price.input'), align: 'right', cell: price('input') },
    { key: 'output', header: t('models.price.output'), align: 'right', cell: price('output') },
    { key: 'cached', header: t('models.price.cached_input'), align: 'right', cell: price('cache_read') },
    { key: 'written', header: t('models.price.cache_write'), align: 'right', cell: price('cache_write') },
    {
      key: 'more',
      header: t('priceBook.others'),
      cell: (row) => t('priceBook.otherCount', { count: others(row) }),
    },
  ];
  return (
    <>
      <PageHeader title={t('priceBook.title')} lead={t('priceBook.lead')}>
        <Button leftSection={<IconUpload size={16} aria-hidden />} onClick={() => setImporting(true)}>
          {t('priceBook.import')}
        </Button>
      </PageHeader>
      <Stack gap="lg">
        <Editions editions={book.data?.editions ?? []} />
        <div>
          <Group mb="md" gap="sm" align="center">
            <SearchBox value={search.q ?? ''} label={t('priceBook.search')} onSearch={(q) => set({ q })} />
            <Text size="sm" c="dimmed">
              {book.data &&
                t('priceBook.shown', {
                  shown: formatNumber(book.data.models.length, locale),
                  total: formatNumber(book.data.total, locale),
                })}
            </Text>
          </Group>
          <DataTable
            label={t('priceBook.title')}
            columns={columns}
            query={{
              ...book,
              data: models && { items: models, totalItems: models.length, totalPages: 1, page: 1 },
            }}
            filtered={!!search.q}
            empty={<EmptyState title={t('priceBook.empty')} />}
          />
        </div>
      </Stack>
      {importing && <ImportDialog onClose={() => setImporting(false)} />}
    </>
  );
}

/** Prices that the table has no column for. */
function others(row: BookModel) {
  const shown = ['input', 'output', 'cache_read', 'cache_write'];
  return Object.keys(row.prices).filter((name) => !shown.includes(name)).length;
}

function Editions({ editions }: { editions: PriceEdition[] }) {
  const { t } = useTranslation();
  const locale = useLocale();
  if (editions.length === 0) return null;
  return (
    <Card withBorder>
      <Title order={2} size="h4" mb="xs">
        {t('priceBook.editions')}
      </Title>
      <Stack gap="xs">
        {editions.map((edition) => (
          <Group key={edition.id} gap="xs">
            <Text size="sm" fw={edition.in_force ? 600 : 400}>
              {edition.effective.startsWith(ALWAYS)
                ? t('priceBook.fromStart')
                : t('priceBook.from', { date: formatDate(edition.effective, locale) })}
            </Text>
            <Text size="sm" c="dimmed">
              {edition.source === 'built-in'
                ? t('priceBook.builtIn')
                : t('priceBook.by', { actor: edition.actor, date: formatDate(edition.created, locale) })}
              {' · '}
              {t('priceBook.modelCount', { count: edition.models })}
            </Text>
            {edition.in_force && (
              <Badge variant="light" color="teal" tt="none">
                {t('priceBook.inForce')}
              </Badge>
            )}
          </Group>
        ))}
      </Stack>
    </Card>
  );
}
