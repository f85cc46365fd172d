import i18next from 'i18next';
import { beforeAll, describe, expect, it } from 'vitest';
import type { NotificationRecord } from '../../api/types';
import { de } from '../../locales/de';
import { en } from '../../locales/en';
import { noticeText } from './text';

const notice: NotificationRecord = {
  id: 'n',
  created: '2026-01-13 12:00:00.000Z',
  user_id: 'max',
  tenant_id: 'acme',
  kind: 'budget_notice',
  title: 'as the server wrote it',
  body: 'as the server wrote it',
  read: false,
  data: {
    owner: 'user',
    owner_id: 'max',
    name: 'Max',
    window: '',
    percent: 80,
    used: 8,
    limit: 10,
    currency: 'EUR',
    period_end: '2026-02-09 12:00:00.000Z',
    forecast: 'used_up_at',
    used_up_at: '2026-01-24 12:00:00.000Z',
  },
};

describe('noticeText', () => {
  beforeAll(async () => {
    await i18next.init({
      lng: 'de',
      resources: { de: { translation: de }, en: { translation: en } },
      interpolation: { escapeValue: false },
    });
  });

  it('is in the language of the page, not of the mail', () => {
    const german = noticeText(notice, 'max', i18next.getFixedT('de'), 'de');
    expect(german.title).toBe('Ihr Budget ist zu 80 % verbraucht');
    expect(german.body).toContain('24.01.2026');
    const english = noticeText(notice, 'max', i18next.getFixedT('en'), 'en-GB');
    expect(english.title).toBe('Your budget is 80% used');
  });

  it('names whose budget it is where it is not the reader’s', () => {
    const data = { ...notice.data, owner: 'tenant', owner_id: 'acme', name: 'Acme', percent: 100 } as const;
    const { title, body } = noticeText({ ...notice, data }, 'max', i18next.getFixedT('en'), 'en-GB');
    expect(title).toBe('The budget of Acme is used up');
    const read = noticeText(notice, 'an administrator', i18next.getFixedT('de'), 'de');
    expect(read.title).toBe('Das Budget von Max ist zu 80 % verbraucht');
    // What is used up has no forecast.
    expect(body).not.toContain('At this pace');
  });

  it('leaves what it does not know as it came', () => {
    const other = noticeText({ ...notice, kind: 'news' }, 'max', i18next.getFixedT('de'), 'de');
    expect(other.title).toBe('as the server wrote it');
  });
});
