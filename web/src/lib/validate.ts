import type { TFunction } from 'i18next';

export const PASSWORD_LENGTH = 8;

export function required(t: TFunction) {
  return (value: unknown) => (String(value ?? '').trim() ? null : t('validation.required'));
}

export function email(t: TFunction) {
  return (value: string) => (/^\S+@\S+$/.test(value.trim()) ? null : t('validation.email'));
}

/** For a password that is typed twice. */
export function passwordRules(t: TFunction) {
  return {
    password: (value: string) =>
      value.length >= PASSWORD_LENGTH ? null : t('validation.passwordLength', { count: PASSWORD_LENGTH }),
    passwordConfirm: (value: string, values: { password: string }) =>
      value === values.password ? null : t('validation.passwordsDiffer'),
  };
}
