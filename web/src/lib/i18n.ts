import i18next from 'i18next';
import { initReactI18next, useTranslation } from 'react-i18next';
import { pb } from '../api/client';
import { de } from '../locales/de';
import { en } from '../locales/en';

export const LANGUAGES = ['de', 'en'] as const;
export type Language = (typeof LANGUAGES)[number];
export const LANGUAGE_NAMES: Record<Language, string> = { de: 'Deutsch', en: 'English' };

const STORAGE_KEY = 'cf_language';

declare module 'i18next' {
  interface CustomTypeOptions {
    defaultNS: 'translation';
    resources: { translation: typeof en };
  }
}

/** The language chosen before, else the first the browser asks for that we have, else English. */
export function pickLanguage(remembered: string | null, wanted: readonly string[]): Language {
  for (const candidate of [remembered, ...wanted]) {
    const short = candidate?.slice(0, 2).toLowerCase();
    const known = LANGUAGES.find((language) => language === short);
    if (known) return known;
  }
  return 'en';
}

export function startI18n() {
  const language = pickLanguage(localStorage.getItem(STORAGE_KEY), navigator.languages);
  void i18next.use(initReactI18next).init({
    lng: language,
    fallbackLng: 'en',
    resources: { en: { translation: en }, de: { translation: de } },
    interpolation: { escapeValue: false },
    initAsync: false,
  });
  applyLanguage(language);
}

export function setLanguage(language: Language) {
  localStorage.setItem(STORAGE_KEY, language);
  void i18next.changeLanguage(language);
  applyLanguage(language);
}

function applyLanguage(language: Language) {
  document.documentElement.lang = language;
  // Goes out as Accept-Language, so that the server's own sentences fit.
  pb.lang = language;
}

/** The locale for numbers and dates: the browser's own variant of the chosen language (de-AT, en-GB), if it has one. */
export function useLocale(): string {
  const { i18n } = useTranslation();
  const language = i18n.language ?? 'en';
  return navigator.languages.find((candidate) => candidate.startsWith(language)) ?? language;
}
