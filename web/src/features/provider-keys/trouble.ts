import type { TFunction } from 'i18next';

const KNOWN = ['credentials', 'out_of_credit', 'access', 'unknown_model'] as const;

/** What is wrong with a provider key: a word, with the model's name after it where it is about one. */
export function troubleText(trouble: string, t: TFunction): string {
  const [word = '', ...rest] = trouble.split(' ');
  const known = KNOWN.find((value) => value === word);
  return known ? t(`providerKeys.trouble.${known}`, { model: rest.join(' ') }) : trouble;
}
