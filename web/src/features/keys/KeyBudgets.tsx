import { Modal } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { ApiKeyRecord } from '../../api/types';
import { BudgetSection } from '../budgets/BudgetSection';

interface Props {
  record: ApiKeyRecord;
  mayChange: boolean;
  onClose: () => void;
}

/** The budgets of a key, as those of users are shown on their page. */
export function KeyBudgets({ record, mayChange, onClose }: Props) {
  const { t } = useTranslation();
  // Escape closes what lies on top, not everything.
  const [covered, setCovered] = useState(false);
  return (
    <Modal
      opened
      onClose={onClose}
      title={t('keys.budgetsTitle', { name: record.name })}
      size="xl"
      closeOnEscape={!covered}
    >
      <BudgetSection owners="keys" id={record.id} mayChange={mayChange} onDialog={setCovered} />
    </Modal>
  );
}
