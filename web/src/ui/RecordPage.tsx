import { Button, Group } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { Fragment, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { all, contains } from '../api/filter';
import { useDeleteRecord, useRecord, useRecordList } from '../api/records';
import type { CollectionName, Collections } from '../api/types';
import { useListSearch } from '../lib/listSearch';
import { useConfirm } from './confirm';
import { type Column, DataTable } from './DataTable';
import { EmptyState } from './EmptyState';
import { notifyDone } from './notify';
import { PageHeader } from './PageHeader';
import { type RowAction, RowMenu } from './RowMenu';
import { SearchBox } from './SearchBox';

export interface RecordPageProps<C extends CollectionName> {
  collection: C;
  title: string;
  lead?: string;
  newLabel: string;
  empty: string;
  emptyHint: string;
  columns: Column<Collections[C]>[];
  /** Fields the search box looks into. */
  searchFields: readonly string[];
  searchLabel?: string;
  defaultSort: string;
  filter?: string;
  filters?: ReactNode;
  expand?: string;
  nameOf: (record: Collections[C]) => string;
  deleteText: (record: Collections[C]) => string;
  /** Whether the person may delete records here; the server refuses it otherwise. */
  mayDelete?: boolean;
  /** Further entries of a row's menu, between "Edit" and "Delete". */
  actions?: (record: Collections[C]) => RowAction[];
  /** Draws the form; called as a function, so that a page may add to its properties without making a new component. */
  form: (props: { record?: Collections[C]; onClose: () => void }) => ReactNode;
  children?: ReactNode;
}

/** The page of a collection: search, table, "new", "edit", "delete". What is open is in the address. */
export function RecordPage<C extends CollectionName>(props: RecordPageProps<C>) {
  const { collection, columns, defaultSort, nameOf, form, mayDelete = true } = props;
  const { t } = useTranslation();
  const { search, set, setPage, setSort, openEdit, closeEdit } = useListSearch();
  const sort = search.sort ?? defaultSort;
  const filter = all(contains(props.searchFields, search.q), props.filter);
  const list = useRecordList(collection, { page: search.page, sort, filter, expand: props.expand });
  const editing = useRecord(collection, search.edit && search.edit !== 'new' ? search.edit : undefined);
  const remove = useDeleteRecord(collection);
  const [ask, dialog] = useConfirm();

  const askDelete = (record: Collections[C]) =>
    ask({
      title: t('common.deleteTitle', { name: nameOf(record) }),
      text: props.deleteText(record),
      action: t('common.delete'),
      danger: true,
      run: async () => {
        await remove.mutateAsync(record.id);
        notifyDone(t('common.deleted'));
      },
    });
  const menu: Column<Collections[C]> = {
    key: 'menu',
    header: '',
    align: 'right',
    cell: (record) => (
      <RowMenu
        name={nameOf(record)}
        actions={[
          { label: t('common.edit'), onClick: () => openEdit(record.id) },
          ...(props.actions?.(record) ?? []),
          { label: t('common.delete'), onClick: () => askDelete(record), danger: true, hidden: !mayDelete },
        ]}
      />
    ),
  };
  const newButton = (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => openEdit('new')}>
      {props.newLabel}
    </Button>
  );
  return (
    <>
      <PageHeader title={props.title} lead={props.lead}>
        {newButton}
      </PageHeader>
      {props.children}
      <Group mb="md" gap="sm">
        <SearchBox value={search.q ?? ''} label={props.searchLabel} onSearch={(q) => set({ q })} />
        {props.filters}
      </Group>
      <DataTable
        label={props.title}
        columns={[...columns, menu]}
        query={list}
        sort={sort}
        onSort={setSort}
        onPage={setPage}
        filtered={filter !== ''}
        empty={<EmptyState title={props.empty} hint={props.emptyHint} />}
      />
      {search.edit === 'new' && form({ onClose: closeEdit })}
      {editing.data && search.edit === editing.data.id && (
        <Fragment key={editing.data.id}>{form({ record: editing.data, onClose: closeEdit })}</Fragment>
      )}
      {dialog}
    </>
  );
}
