import {
  Card,
  Center,
  Group,
  Loader,
  Pagination,
  Table,
  Text,
  UnstyledButton,
  VisuallyHidden,
} from '@mantine/core';
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import classes from './DataTable.module.css';
import { EmptyState } from './EmptyState';
import { ErrorNote } from './ErrorNote';

export interface Column<T> {
  key: string;
  header: string;
  cell: (row: T) => ReactNode;
  /** The field to sort by on the server, if this column can be sorted. */
  sort?: string;
  align?: 'right';
}

interface PageOf<T> {
  items: T[];
  totalItems: number;
  totalPages: number;
  page: number;
}

interface DataTableProps<T> {
  label: string;
  columns: Column<T>[];
  query: {
    data: PageOf<T> | undefined;
    error: unknown;
    isPending: boolean;
    isPlaceholderData?: boolean;
    refetch: () => unknown;
  };
  empty: ReactNode;
  /** Whether a search or filter is set: then "nothing found" is the better text. */
  filtered?: boolean;
  sort?: string;
  onSort?: (sort: string) => void;
  onPage?: (page: number) => void;
}

/** A table of one page of records. On a narrow screen each row becomes a card with labelled lines. */
export function DataTable<T extends { id: string }>(props: DataTableProps<T>) {
  const { label, columns, query, empty, filtered, sort = '', onSort, onPage } = props;
  const { t } = useTranslation();
  if (query.error && !query.data) {
    return <ErrorNote error={query.error} title={t('error.loadFailed')} onRetry={() => query.refetch()} />;
  }
  if (!query.data)
    return (
      <Center py="xl">
        <Loader aria-label={t('common.loading')} />
      </Center>
    );
  const { items, totalItems, totalPages, page } = query.data;
  if (items.length === 0 && page <= 1) {
    return (
      <Card withBorder>
        {filtered ? (
          <EmptyState title={t('common.nothingFound')} hint={t('common.nothingFoundHint')} />
        ) : (
          empty
        )}
      </Card>
    );
  }
  return (
    <>
      <Card withBorder padding={0}>
        <Table.ScrollContainer minWidth={0} type="native">
          <Table
            aria-label={label}
            verticalSpacing="xs"
            horizontalSpacing="md"
            highlightOnHover
            className={`${classes.table} ${query.isPlaceholderData ? classes.stale : ''}`}
          >
            <Table.Thead>
              <Table.Tr>
                {columns.map((column) => (
                  <HeaderCell key={column.key} column={column} sort={sort} onSort={onSort} />
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {items.map((row) => (
                <Table.Tr key={row.id}>
                  {columns.map((column) => (
                    <Table.Td
                      key={column.key}
                      data-label={column.header}
                      className={column.align === 'right' ? classes.right : undefined}
                    >
                      {column.cell(row)}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Card>
      {onPage && (
        <Group justify="space-between" mt="sm">
          <Text size="sm" c="dimmed">
            {t('common.rows', { count: totalItems })}
          </Text>
          {totalPages > 1 && (
            <Pagination
              size="sm"
              total={totalPages}
              value={page}
              onChange={onPage}
              aria-label={t('common.pages')}
              getControlProps={(control) => ({
                'aria-label': t(
                  control === 'previous' || control === 'first' ? 'common.previousPage' : 'common.nextPage',
                ),
              })}
              getItemProps={(number) => ({ 'aria-label': `${t('common.page')} ${number}` })}
            />
          )}
        </Group>
      )}
    </>
  );
}

function HeaderCell<T>({
  column,
  sort,
  onSort,
}: {
  column: Column<T>;
  sort: string;
  onSort?: (sort: string) => void;
}) {
  const { t } = useTranslation();
  const right = column.align === 'right' ? classes.right : undefined;
  if (!column.sort || !onSort)
    return (
      <Table.Th className={right}>
        {column.header || <VisuallyHidden>{t('common.actions')}</VisuallyHidden>}
      </Table.Th>
    );
  const ascending = sort === column.sort;
  const descending = sort === `-${column.sort}`;
  const next = ascending ? `-${column.sort}` : column.sort;
  return (
    <Table.Th className={right} aria-sort={ascending ? 'ascending' : descending ? 'descending' : 'none'}>
      <UnstyledButton
        className={classes.sort}
        onClick={() => onSort(next)}
        title={t('common.sortBy', { column: column.header })}
      >
        {column.header}
        {ascending && <IconArrowUp size={14} aria-hidden />}
        {descending && <IconArrowDown size={14} aria-hidden />}
      </UnstyledButton>
    </Table.Th>
  );
}
