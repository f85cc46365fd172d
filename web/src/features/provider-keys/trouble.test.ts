import i18next from 'i18next';
import { beforeAll, describe, expect, it } from 'vitest';
import { en } from '../../locales/en';
import { troubleText } from './trouble';

describe('troubleText', () => {
  beforeAll(async () => {
    await i18next.init({ lng: 'en', resources: { en: { translation: en } } });
  });

  it('says in words what is wrong, with the model where it is about one', () => {
    const t = i18next.getFixedT('en');
    expect(troubleText('credentials', t)).toContain('does not take');
    expect(troubleText('access gpt 5', t)).toContain('gpt 5');
  });

  it('shows what it does not know as it is', () => {
    expect(troubleText('rain', i18next.getFixedT('en'))).toBe('rain');
  });
});
