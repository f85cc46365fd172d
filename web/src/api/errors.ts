import type { TFunction } from 'i18next';
import { ClientResponseError } from 'pocketbase';
import { isPartMissing } from '../lib/parts';

/** A refusal by `/v1`, in OpenAI's shape. */
export class RouterError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }
}

const KNOWN_CODES = [
  'budget_exceeded',
  'user_pending',
  'user_suspended',
  'tenant_suspended',
  'model_not_allowed',
  'model_not_found',
  'rate_limit_exceeded',
  'rate_limited',
  'invalid_api_key',
  'in_use',
  'email_taken',
  'no_budget',
  'forbidden',
  'unavailable',
  'internal_error',
  'wrong_credentials',
  'too_long',
  'own_account',
  'last_superuser',
  'read_only',
  'no_tenant',
  'tenant_missing',
  'product_missing',
  'revoked',
  'not_saved',
] as const;
type KnownCode = (typeof KNOWN_CODES)[number];

const KNOWN_FIELD_CODES = [
  'validation_required',
  'validation_not_unique',
  'validation_invalid_email',
  'validation_is_email',
  'validation_invalid_value',
  'validation_values_mismatch',
  'validation_missing_rel_records',
  'validation_invalid_url',
  'validation_is_url',
  'validation_invalid_old_password',
  'validation_invalid_format',
  'validation_in_invalid',
  'validation_wider',
  'validation_not_allowed',
  'validation_not_in_invalid',
  'validation_only_int_constraint',
  'validation_json_size_limit',
  'validation_pk_change',
  'validation_min_text_constraint',
  'validation_max_text_constraint',
  'validation_min_number_constraint',
  'validation_max_number_constraint',
] as const;
type KnownFieldCode = (typeof KNOWN_FIELD_CODES)[number];

function isKnown<T extends string>(list: readonly T[], value: unknown): value is T {
  return typeof value === 'string' && (list as readonly string[]).includes(value);
}

/** The code by which the server names a refusal, wherever its answer carries it. */
function codeOf(error: unknown): string | undefined {
  if (error instanceof RouterError) return error.code;
  if (error instanceof ClientResponseError) {
    const { code, data, error: nested } = error.response as Record<string, unknown>;
    const places = [
      code,
      (data as Record<string, unknown> | undefined)?.code,
      (nested as Record<string, unknown> | undefined)?.code,
    ];
    return places.find((place): place is string => typeof place === 'string');
  }
  return undefined;
}

/** Some refusals come as a sentence only; the frequent ones deserve one in the person's own language. */
const SENTENCES: readonly (readonly [RegExp, KnownCode])[] = [
  [/^failed to authenticate/i, 'wrong_credentials'],
  [/^only (superusers|administrators)\b/i, 'forbidden'],
  [/\btakes longer than one request may\b/i, 'too_long'],
  [/\bdelete your own account\b/i, 'own_account'],
  [/\bthe last superuser\b/i, 'last_superuser'],
  [/\bwritten by the program itself\b/i, 'read_only'],
  [/\bbelongs to no tenant\b/i, 'no_tenant'],
  [/\btenant\b.*\b(archived|no longer exists)\b/i, 'tenant_missing'],
  [/\bproduct\b.*\bno longer exists\b/i, 'product_missing'],
  [/\brevoked key stays revoked\b/i, 'revoked'],
  [/\bdatabase cannot be reached\b/i, 'unavailable'],
  [/\bwent wrong on our side\b/i, 'internal_error'],
];

function codeFromSentence(message: string): KnownCode | undefined {
  const known = SENTENCES.find(([sentence]) => sentence.test(message));
  if (known) return known[1];
  if (/\bpart of a required relation reference\b/i.test(message)) return 'in_use';
  if (/\bemail: value must be unique\b/i.test(message)) return 'email_taken';
  if (/\b(pending|approval|approved)\b/i.test(message)) return 'user_pending';
  if (/\btenant\b.*\bsuspended\b/i.test(message)) return 'tenant_suspended';
  if (/\bsuspended\b/i.test(message)) return 'user_suspended';
  return undefined;
}

/** One sentence that says what went wrong and, where it can, what to do. */
export function errorMessage(error: unknown, t: TFunction): string {
  const code = codeOf(error);
  if (isKnown(KNOWN_CODES, code)) {
    if (code === 'rate_limit_exceeded' && error instanceof RouterError && error.retryAfterSeconds) {
      return t('error.rate_limit_wait', { seconds: error.retryAfterSeconds });
    }
    // Without a product there is no budget to wait for.
    if (code === 'budget_exceeded' && error instanceof RouterError && / has 0 of 0 /.test(error.message)) {
      return t('error.no_budget');
    }
    return t(`error.${code}`);
  }
  if (isPartMissing(error)) return t('error.network');
  if (error instanceof ClientResponseError) {
    if (error.status === 0) return t('error.network');
    const message = error.response?.message as string | undefined;
    const used = message?.match(/^The provider key "(.*)" is used by (.+)\. Take it/);
    if (used) return t('error.key_in_use', { key: used[1], models: used[2] });
    const recognised =
      [400, 403, 500, 503].includes(error.status) && message ? codeFromSentence(message) : undefined;
    if (recognised) return t(`error.${recognised}`);
    if (Object.keys(fieldErrors(error, t)).length > 0) return t('error.fields');
    if (error.status === 401) return t('error.signed_out');
    if (error.status === 404) return t('error.not_found');
    if (error.status === 413) return t('error.too_large');
    if (error.status === 429) return t('error.rate_limited');
    // A proxy in front answered, because the server behind it does not.
    if (error.status >= 502 && !message) return t('error.network');
    if (error.status >= 500) return t('error.server', { message: message || String(error.status) });
    if (/^failed to (create|update|delete) record\.?$/i.test(message ?? '')) return t('error.not_saved');
    return message || (error.status === 403 ? t('error.forbidden') : t('error.unknown'));
  }
  if (error instanceof RouterError) {
    if (error.status === 401) return t('error.signed_out');
    if (error.status >= 502 && !error.message) return t('error.network');
    if (error.status >= 500) return t('error.provider', { message: error.message });
    return error.message || t('error.unknown');
  }
  if (error instanceof TypeError) return t('error.network');
  return error instanceof Error && error.message ? error.message : t('error.unknown');
}

/** The limit that a complaint names. */
function numberIn(message: string | undefined): string {
  return message?.match(/-?\d[\d.e+]*\d|\d/)?.[0] ?? '';
}

/** The server's complaints by field, in the person's language where the code is a known one. */
export function fieldErrors(error: unknown, t: TFunction): Record<string, string> {
  if (!(error instanceof ClientResponseError)) return {};
  const data = error.response?.data as Record<string, unknown> | undefined;
  const result: Record<string, string> = {};
  for (const [field, value] of Object.entries(data ?? {})) {
    const complaint = value as { code?: string; message?: string } | null;
    if (!complaint || typeof complaint !== 'object' || (!complaint.message && !complaint.code)) continue;
    // Some sentences say more than their code; these are worth a text of their own.
    if (complaint.message?.includes('--allow-private-upstreams')) {
      result[field] = t('fieldError.private_address');
      continue;
    }
    if (field === 'prices' || field === 'margin') {
      result[field] = t(`fieldError.${field}`);
      continue;
    }
    result[field] = isKnown<KnownFieldCode>(KNOWN_FIELD_CODES, complaint.code)
      ? t(`fieldError.${complaint.code}`, { limit: numberIn(complaint.message) })
      : (complaint.message ?? t('fieldError.validation_invalid_value'));
  }
  return result;
}
