import { Modal } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import type { ApiKeyRecord } from '../../api/types';
import { useSignedIn } from '../../lib/session';
import { BudgetSection } from '../budgets/BudgetSection';

interface Props {
  record: ApiKeyRecord;
  /** Of whose key it is, once known. */
  userRole: string | undefined;
  onClose: () => void;
}

/** The budgets of a key, as those of users are shown on their page. */
export function KeyBudgets({ record, userRole, onClose }: Props) {
  const { t } = useTranslation();
  const session = useSignedIn();
  // Escape closes what lies on top, not everything.
  const [covered, setCovered] = useState(false);
  const mayChange =
    session.superuser ||
    session.role === 'admin' ||
    (session.role === 'tenant_admin' && userRole !== undefined && userRole !== 'admin');
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
