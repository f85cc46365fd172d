// The records and answers of the server, by hand until they are generated from its OpenAPI document.

export type Role = 'user' | 'tenant_admin' | 'admin';
export type UserStatus = 'pending' | 'active' | 'suspended';

export interface BaseRecord {
  id: string;
  collectionName?: string;
  created: string;
  updated?: string;
}

export interface UserRecord extends BaseRecord {
  email: string;
  name: string;
  role: Role;
  status: UserStatus;
  tenant_id: string;
  product_id: string;
  budget_total: number;
  budget_used: number;
  budget_remaining: number;
  budget_currency: string;
  budget_reset_date: string;
  litellm_api_key: string;
  /** Language of mails; empty: the tenant's. */
  locale: string;
  /** Days that the tenant keeps what is asked and answered; 0: not at all. */
  prompt_log_days?: number;
  expand?: { tenant_id?: TenantRecord; product_id?: ProductRecord };
}

export interface CreatedUser extends UserRecord {
  /** Only in the answer to the call that made the user. */
  password?: string;
}

export type TenantType = 'internal' | 'customer' | 'demo';
export type TenantStatus = 'active' | 'suspended' | 'archived';

export interface TenantRecord extends BaseRecord {
  name: string;
  slug: string;
  domain: string;
  type: TenantType;
  status: TenantStatus;
  signup_enabled: boolean;
  budget_total: number;
  budget_used: number;
  currency: string;
  time_zone: string;
  locale: string;
  chat: string;
  regions: string[] | null;
  /** For all users together; 0 is no limit. */
  rate_limit?: number;
  tokens_per_minute?: number;
  parallel_requests?: number;
  /** 0: as the installation. */
  usage_retention_days?: number;
  /** How long answers are given again to the same request; 0: not at all. */
  cache_seconds?: number;
  /** What such an answer costs, of what the call would. */
  cache_price_percent?: number;
  /** Days that questions and answers are kept; 0: not at all. */
  prompt_log_days?: number;
  /** Percents at which notices are given; null: as the settings say. */
  budget_notices: number[] | null;
  /** Administrators only. */
  prices?: ListedPrice[] | null;
}

/** A budget beside a product's own. */
export interface ProductWindow {
  name: string;
  limit: number;
  period?: ProductRecord['budget_period'];
  period_days?: number;
  carry_over?: boolean;
}

export interface ProductRecord extends BaseRecord {
  name: string;
  description: string;
  price: number;
  currency: string;
  budget_included: number;
  models: string[] | null;
  features: string[] | null;
  rate_limit: number;
  tokens_per_minute: number;
  parallel_requests: number;
  budget_period: 'total' | 'days' | 'day' | 'week' | 'month';
  budget_period_days: number;
  budget_carry_over: boolean;
  budget_windows: ProductWindow[] | null;
  /** In percent; administrators only. */
  margin?: number;
  /** In place of the margin; administrators only. */
  prices?: ListedPrice[] | null;
  active: boolean;
}

/** A line of a price list: US dollars per million tokens, by the names of a model's own prices. */
export interface ListedPrice {
  model: string;
  [price: string]: unknown;
}

export interface ProviderKeyRecord extends BaseRecord {
  name: string;
  provider: string;
  base_url: string;
  region: string;
  /** Read back masked (`••••abcd`). */
  secret: string;
  settings: Record<string, string> | null;
  tenant_id: string;
  active: boolean;
  /** Why it is set aside: a word, with a model's name after it; empty while it works. */
  trouble?: string;
  trouble_since?: string;
}

/** What became of a call that tried a provider key out. */
export interface KeyTestResult {
  ok: boolean;
  message: string;
  model: string;
  /** The provider's status; 0 where there was no answer. */
  status: number;
  latency_ms: number;
}

export interface KeyUsage {
  provider_key_id: string;
  requests: number;
  failed: number;
  prompt_tokens: number;
  completion_tokens: number;
  /** In US dollars. */
  provider_cost: number;
}

export interface Deployment {
  provider_key: string;
  model: string;
  weight: number;
  order: number;
}

export type PriceName =
  | 'input'
  | 'output'
  | 'cached_input'
  | 'cache_write'
  | 'image'
  | 'audio_minute'
  | 'character'
  | 'request';

export interface ModelRecord extends BaseRecord {
  name: string;
  deployments: Deployment[] | null;
  fallbacks: string[] | null;
  /** Empty: on all causes. */
  fallback_on?: string[] | null;
  balance?: 'weights' | 'least_busy' | 'lowest_latency';
  retries?: number;
  /** Of all callers together; 0 is no limit. */
  rate_limit?: number;
  tokens_per_minute?: number;
  parallel_requests?: number;
  /** Seconds; 0: as the installation. */
  first_byte_seconds?: number;
  gap_seconds?: number;
  total_seconds?: number;
  prices: Record<string, unknown> | null;
  max_output_tokens: number;
  context_window: number;
  tenant_id: string;
  active: boolean;
}

export interface ApiKeyRecord extends BaseRecord {
  name: string;
  user_id: string;
  tenant_id: string;
  prefix: string;
  last4: string;
  models: string[] | null;
  budget_total: number;
  budget_used: number;
  rate_limit?: number;
  tokens_per_minute?: number;
  parallel_requests?: number;
  expires: string;
  status: 'active' | 'revoked';
  last_used: string;
}

export interface CreatedApiKey extends ApiKeyRecord {
  key: string;
}

export type UsageStatus = 'ok' | 'error' | 'cancelled' | 'expired';

/** One deployment that a call tried or passed over. */
export interface UsageAttempt {
  for: string;
  model: string;
  provider: string;
  provider_key: string;
  outcome: string;
  status?: number;
  wait_ms?: number;
  took_ms?: number;
}

export interface UsageLogRecord extends BaseRecord {
  user_id: string;
  tenant_id: string;
  key_id: string;
  model: string;
  model_used: string;
  /** `cache` where an answer was given again. */
  provider: string;
  /** Administrators only. */
  provider_key_id?: string;
  /** What was tried before; null where the first deployment answered. Administrators only. */
  attempts?: UsageAttempt[] | null;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  reasoning_tokens: number;
  cost: number;
  currency: string;
  /** What the provider takes, in US dollars; administrators only. */
  provider_cost?: number;
  exchange_rate: number;
  exchange_rate_date: string;
  price_version: string;
  status: UsageStatus;
  estimated: boolean;
  latency_ms: number;
  time_to_first_token_ms: number;
  request_id: string;
  expand?: { user_id?: Pick<UserRecord, 'id' | 'email' | 'name'> };
}

/** What was kept of a call. */
export interface LoggedPrompt {
  request_id: string;
  user_id: string;
  tenant_id: string;
  created: string;
  endpoint: string;
  question: string;
  question_cut: boolean;
  answer: string;
  answer_cut: boolean;
}

export interface LedgerEntryRecord extends BaseRecord {
  window: string;
  kind: 'post' | 'void' | 'expire' | 'reset' | 'limit';
  user_id: string;
  key_id: string;
  tenant_id: string;
  currency: string;
  /** By how much the budget itself was changed. */
  limit: number;
  posted: number;
  reserved: number;
  request_id: string;
  note: string;
  actor: string;
}

export interface AuditLogRecord extends BaseRecord {
  actor_id: string;
  actor_email: string;
  action: string;
  collection: string;
  record_id: string;
  tenant_id: string;
  changes: unknown;
}

export interface ExchangeRateRecord extends BaseRecord {
  base: string;
  quote: string;
  rate: number;
  date: string;
  source: string;
}

export interface NotificationRecord extends BaseRecord {
  user_id: string;
  tenant_id: string;
  kind: string;
  title: string;
  body: string;
  read: boolean;
  /** Of a budget notice: what it is about. */
  data: {
    owner?: 'user' | 'tenant';
    owner_id?: string;
    name?: string;
    window?: string;
    percent?: number;
    used?: number;
    limit?: number | null;
    currency?: string;
    period_end?: string;
    forecast?: ForecastState;
    used_up_at?: string;
    /** Of a provider key: what is wrong, and the model where it is about one. */
    trouble?: string;
    model?: string;
  } | null;
  expand?: { user_id?: Pick<UserRecord, 'id' | 'email' | 'name'> };
}

export interface WebhookRecord extends BaseRecord {
  name: string;
  url: string;
  /** Read back masked (`••••abcd`); in full in the answer to the call that made it. */
  secret: string;
  events: string[] | null;
  tenant_id: string;
  active: boolean;
}

export interface MessageRecord extends BaseRecord {
  kind: 'mail' | 'webhook';
  event: string;
  recipient: string;
  user_id: string;
  tenant_id: string;
  webhook_id: string;
  subject: string;
  state: 'waiting' | 'sent' | 'dead';
  tries: number;
  last_error: string;
  next_try: string;
  expires: string;
}

export interface OutboxStatus {
  /** Whether a mail server is set. */
  mail: boolean;
  waiting: number;
  dead: number;
  webhook_events: string[];
}

export type ForecastState = 'unknown' | 'lasts' | 'used_up_at' | 'used_up';

/** How a budget of a user or tenant stands and where it leads. */
export interface BudgetRecord {
  owner: 'user' | 'tenant';
  owner_id: string;
  window: string;
  currency: string;
  limit: number | null;
  used: number;
  reserved: number;
  remaining: number | null;
  percent: number | null;
  period_start: string;
  period_end: string;
  forecast: { state: ForecastState; at: string };
}

export interface BookModel {
  provider: string;
  model: string;
  region?: string;
  variant?: string;
  /** US dollars for one token or piece, by name. */
  prices: Record<string, string>;
}

export interface PriceEdition {
  id: string;
  effective: string;
  source: 'built-in' | 'import';
  models: number;
  actor: string;
  created: string;
  in_force: boolean;
}

export interface PriceBook {
  editions: PriceEdition[];
  models: BookModel[];
  total: number;
}

export interface ChangedModel extends Omit<BookModel, 'prices'> {
  fields: { name: string; old: string | null; new: string | null }[];
}

/** What a new price list would change. */
export interface PriceImport {
  hash: string;
  effective: string;
  added: BookModel[];
  changed: ChangedModel[];
  removed: BookModel[];
  unchanged: number;
}

export interface RateStatus {
  items: {
    quote: string;
    rate: number | null;
    date: string;
    source: string;
    age_days: number;
    placeholder: boolean;
    stale: boolean;
  }[];
  max_age_days: number;
  fetched: boolean;
}

export interface ServerInfo {
  version: string;
  component: 'portal' | 'chat';
  demo: boolean;
  setup_required: boolean;
  tenant: { id: string; name: string; slug: string; signup_enabled: boolean; locale: string } | null;
  base_domain?: string;
  public_url_hint?: string;
}

export interface ProviderInfo {
  provider: string;
  label: string;
  base_url: string;
  needs_base_url: boolean;
  needs_secret: boolean;
  needs_region: boolean;
  /** Optional: prices may depend on it. */
  takes_region: boolean;
  supported: boolean;
  settings: { name: string; label: string }[];
}

export type UsageGroup = 'day' | 'user' | 'tenant' | 'model' | 'provider';

export interface UsageSum {
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost: number;
  currency: string;
}

export interface UsageSummary {
  items: (UsageSum & { key: string; label: string })[];
  /** Whether there are more groups than items; the total has them in it. */
  truncated: boolean;
  total: UsageSum;
}

export interface StatementUsageLine {
  user_id: string;
  user: string;
  model: string;
  provider: string;
  price_version: string;
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  amount: number;
  currency: string;
}

export interface StatementFeeLine {
  user_id: string;
  user: string;
  product: string;
  price: number;
  price_currency: string;
  amount: number;
  currency: string;
}

/** What a tenant owes for a month. */
export interface Statement {
  tenant_id: string;
  tenant: string;
  month: string;
  time_zone: string;
  /** Empty while the month is open. */
  closed: string;
  currency: string;
  usage: StatementUsageLine[];
  fees: StatementFeeLine[];
  totals: {
    requests: number;
    usage: number;
    fees: number;
    total: number;
    currency: string;
    other_currencies: Record<string, number>;
  };
}

export interface Collections {
  users: UserRecord;
  tenants: TenantRecord;
  products: ProductRecord;
  provider_keys: ProviderKeyRecord;
  models: ModelRecord;
  api_keys: ApiKeyRecord;
  usage_logs: UsageLogRecord;
  ledger_entries: LedgerEntryRecord;
  audit_logs: AuditLogRecord;
  exchange_rates: ExchangeRateRecord;
  notifications: NotificationRecord;
  webhooks: WebhookRecord;
  messages: MessageRecord;
}

export type CollectionName = keyof Collections;
