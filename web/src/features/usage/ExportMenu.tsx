import { Button, Menu } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconDownload } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { download } from '../../api/download';
import { errorMessage } from '../../api/errors';

interface ExportMenuProps {
  from: string;
  to: string;
  userId?: string;
  model?: string;
}

/** All calls of the page's filter as a file. */
export function ExportMenu({ from, to, userId, model }: ExportMenuProps) {
  const { t } = useTranslation();
  const save = useMutation({
    mutationFn: (format: 'csv' | 'jsonl') => {
      const query = new URLSearchParams({ format, from, to });
      if (userId) query.set('user_id', userId);
      if (model) query.set('model', model);
      return download(`/api/usage/export?${query}`, `usage-${from}-${to}.${format}`);
    },
    onError: (error) => notifications.show({ color: 'red', message: errorMessage(error, t) }),
  });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          variant="default"
          leftSection={<IconDownload size={18} aria-hidden />}
          loading={save.isPending}
        >
          {t('usage.export')}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => save.mutate('csv')}>{t('usage.exportCsv')}</Menu.Item>
        <Menu.Item onClick={() => save.mutate('jsonl')}>{t('usage.exportJsonl')}</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
