// What travels between node and page, out of the node's OpenRPC document: python -m sequencer.dashboard.wire

export interface NoParams {
}

export interface Status {
  chain_id: number;
  rollup_address: string;
  referee_address: string;
  token_address: string;
  l1_block: number;
  law_version: number;
  state_root: string;
  sequenced: Sequenced;
  posted: Posted;
  final: FinalBatch;
  now_ms: number;
  grace_until_ms: number;
  ready: boolean;
  reasons: ReadinessReason[];
}

export interface Sequenced {
  chunk: number;
  operations: number;
  timestamp_ms: number;
  queue_count: number;
}

export interface Posted {
  batch: number;
  chunks: number;
  root: string;
}

export interface FinalBatch {
  batch: number;
}

export interface ReadinessReason {
  code: string;
  sentence: string;
}

export interface QueueOf {
  index?: number | null;
  account?: number | null;
  limit?: number;
}

export interface QueueView {
  done: number;
  head: QueueHead | null;
  entries: EntryView[];
}

export interface QueueHead {
  account: number;
  market: string | null;
  left_lots: number | null;
  limit_price_ticks: number | null;
  entered_at_ms: number;
}

export interface EntryView {
  index: number;
  operation: string;
  sender: string;
  account: number | null;
  code: number;
  name: string;
  sentence: string;
  done: boolean;
  withdrawal: number | null;
  chunk: number;
  operation_index: number;
}

export interface Newest {
  limit?: number;
}

export interface BatchView {
  number: number;
  batch_hash: string;
  committer: string;
  root: string;
  chunks: number;
  bytes: number;
  committed_at: number;
  l1_block: number;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface DepositsOf {
  account?: number | null;
  owner?: string | null;
}

export interface DepositsView {
  l1_block: number;
  confirmations_needed: number | null;
  deposits: DepositView[];
}

export interface DepositView {
  index: number;
  depositor: string;
  owner: string;
  account: number | null;
  amount_micros: string;
  l1_block: number;
  confirmations: number;
  entered_at_ms: number;
  is_final: boolean;
}

export interface WithdrawalsOf {
  account?: number | null;
  recipient?: string | null;
}

export interface WithdrawalView {
  index: number;
  recipient: string;
  amount_micros: string;
  batch: number | null;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface OfIndex {
  index: number;
}

export interface WithdrawalProof {
  batch: number;
  commitment: string[];
  proof: string[];
  recipient: string;
  amount_micros: string;
}

export interface OfAccount {
  account: number;
}

export interface AccountProof {
  batch: number;
  leaf: string;
  path: string[];
  commitment: string[];
}

export interface AtRoot {
  final?: boolean;
}

export interface GlobalsProof {
  batch: number;
  globals: string;
  commitment: string[];
}

export interface MarketView {
  index: number;
  name: string;
  size_decimals: number;
  price_decimals: number;
  status: string;
  price_ticks: number;
  previous_price_ticks: number;
  premium_ppb: number;
  open_interest_lots: number;
  initial_ppm: number;
  growing_initial_ppm: number;
  maintenance_ppm: number;
  maker_fee_ppm: number;
  taker_fee_ppm: number;
  band_ppm: number;
  funding_rate_ppb: number;
  funding_cap_ppb: number;
  funding_interest_ppb: number;
  funding_damping_ppb: number;
  interest_lower_micros: string;
  interest_upper_micros: string;
  fund_micros: string;
  minimum_notional_micros: string;
  posting_fee_micros: number;
  tick_time_ms: number;
}

export interface OfMarket {
  market: string | number;
  levels?: number;
}

export interface Book {
  market: string;
  bids: [number, number][];
  asks: [number, number][];
}

export interface OfOwner {
  owner: string;
}

export interface AccountView {
  account: number;
  owner: string;
  floor: number | string;
  collateral_micros: string;
  settled_micros: string;
  maturing: Maturing[];
  initial_ppm: number;
  agents: (AgentView | null)[];
  equity_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  notional_micros: string;
  reserved_micros: string;
  free_collateral_micros: string;
  withdrawable_micros: string;
  margin_usage_ppm: number | string | null;
  margin_ratio_ppm: number | string | null;
  leverage_ppm: number | string | null;
  fall_bp: number | null;
  rise_bp: number | null;
  positions: PositionView[];
  buying_power: BuyingPower[];
  margin_call_percent: number;
  finality: "final" | "posted" | "preview" | "sequenced";
  slots_hint: SlotHint;
  open_orders: OpenOrder[];
  root: string;
  has_voided: boolean;
}

export interface Maturing {
  amount_micros: string;
  settles_at_ms: number;
}

export interface AgentView {
  address: string;
  expires_at_ms: number;
  first_slot: number;
  last_slot: number;
}

export interface PositionView {
  market: string;
  size_lots: number | string;
  cost_micros: string;
  price_ticks: number | string;
  value_micros: string;
  notional_micros: string;
  pending_funding_micros: string;
  unrealised_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  liquidation_price_ticks: number | string | null;
  deleveraging_rank: number | null;
}

export interface BuyingPower {
  market: string;
  buy_lots: number | string;
  sell_lots: number | string;
}

export interface SlotHint {
  slot: number;
  sequence: number;
}

export interface OpenOrder {
  order_id: string;
  client_id: string;
  market: string;
  side: "buy" | "sell";
  size_lots: number;
  filled_lots: number;
  remaining_lots: number;
  limit_price_ticks: number;
  slot: number;
  sequence: number;
  expires_at_ms: number;
  time_in_force: number;
  reduce_only: boolean;
  post_only: boolean;
  trigger: number;
  trigger_price_ticks: number;
  self_trade: "cancel_maker" | "cancel_taker" | "decrement";
  group: number;
  after: string;
  status: string;
}

export interface VoidedView {
  operation: string;
  order_id: string | null;
  slot: number;
  sequence: number;
  expires_at_ms: number;
  chunk: number | null;
  voided_at_ms: number;
  send_again: string;
}

export interface ToPreview {
  operation: UnsignedOperation;
  opened_with_micros?: string | number | null;
}

export interface UnsignedOperation {
  kind: "cancel" | "cancel_all" | "order" | "set_agent" | "set_leverage" | "transfer" | "withdraw";
  account: number;
  market?: number | null;
  side?: number | null;
  size_lots?: string | number | null;
  limit_price_ticks?: string | number | null;
  slot?: number | null;
  sequence?: string | number | null;
  created_at_ms?: string | number | null;
  expires_at_ms?: string | number | null;
  time_in_force?: number | null;
  post_only?: boolean | null;
  reduce_only?: boolean | null;
  trigger?: number | null;
  trigger_price_ticks?: string | number | null;
  max_fee_ppm?: number | null;
  max_posting_fee_micros?: number | null;
  amount_micros?: string | number | null;
  recipient?: string | null;
  to_account?: number | null;
  agent_index?: number | null;
  agent?: string | null;
  agent_expires_at_ms?: string | number | null;
  first_slot?: number | null;
  last_slot?: number | null;
  initial_ppm?: number | null;
}

export interface Preview {
  code: number;
  refusal: string;
  status: string;
  before: Outlook;
  after: Outlook;
  filled_lots?: number | string;
  remaining_lots?: number | string;
  largest_size_lots?: number | string | null;
  fills?: PreviewFill[];
  fees_micros?: string;
  leaving?: string[];
  if_filled?: Outlook | null;
  other?: number | null;
  other_before?: Outlook | null;
  other_after?: Outlook | null;
  operation: UnsignedOperation;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface Outlook {
  account: number;
  owner: string;
  floor: number | string;
  collateral_micros: string;
  settled_micros: string;
  maturing: Maturing[];
  initial_ppm: number;
  agents: (AgentView | null)[];
  equity_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  notional_micros: string;
  reserved_micros: string;
  free_collateral_micros: string;
  withdrawable_micros: string;
  margin_usage_ppm: number | string | null;
  margin_ratio_ppm: number | string | null;
  leverage_ppm: number | string | null;
  fall_bp: number | null;
  rise_bp: number | null;
  positions: PositionView[];
  buying_power: BuyingPower[];
  margin_call_percent: number;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface PreviewFill {
  maker: number | null;
  price_ticks: number | string;
  size_lots: number | string;
  fee_micros: string;
}

export interface ToDeposit {
  account: number;
  amount_micros: string | number;
}

export interface DepositPreview {
  code: number;
  refusal: string;
  before: Outlook;
  after: Outlook;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface Explanation {
  account: number;
  numbers: Explained[];
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface Explained {
  name: string;
  value: string | null;
  unit: string;
  formula: string;
  inputs: Record<string, string | string[]>;
}

export interface ContributionOf {
  account: number;
  shock_bp?: number;
  market?: string | number | null;
  betas_bp?: Record<string, number>;
}

export interface Contribution {
  account: number;
  equity_micros: string;
  legs: Leg[];
  saved: Saved;
  shocked: Shocked;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface Leg {
  market: string;
  size_lots: number | string;
  to_equity_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  to_free_micros: string;
  to_room_micros: string;
  share_ppm: number | string | null;
  margin_ratio_without_ppm: number | string | null;
}

export interface Saved {
  together_micros: string;
  isolated_micros: string;
  saved_micros: string;
}

export interface Shocked {
  shock_bp: number;
  market: string | null;
  equity_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  margin_ratio_ppm: number | string | null;
  legs: ShockedLeg[];
  liquidated: Reduced[];
  deficit_micros: string;
}

export interface ShockedLeg {
  market: string;
  price_ticks: number | string;
  unrealised_micros: string;
  initial_micros: string;
  maintenance_micros: string;
}

export interface Reduced {
  market: string;
  lots: number | string;
  lost_micros: string;
}

export interface OrderCall {
  order?: OrderFields | null;
  signature?: string | null;
  client_id?: string;
  self_trade?: "cancel_maker" | "cancel_taker" | "decrement";
  group?: number;
  after?: string;
  replaces?: string;
  account?: number | null;
  slot?: number | null;
  sequence?: string | number | null;
  order_id?: string | null;
}

export interface OrderFields {
  account: number;
  market: number;
  side: number;
  size_lots: string | number;
  limit_price_ticks: string | number;
  slot: number;
  sequence: string | number;
  created_at_ms: string | number;
  expires_at_ms: string | number;
  time_in_force: number;
  post_only: boolean;
  reduce_only: boolean;
  trigger: number;
  trigger_price_ticks: string | number;
  max_fee_ppm: number;
  max_posting_fee_micros: number;
}

export interface OrderResult {
  order_id: string;
  client_id: string;
  status: string;
  reason: string;
  filled_lots: number;
  remaining_lots: number;
  fees_micros: string;
  fills: FillView[];
  blocking_order_id: string;
  blocking_lots: number;
  events: OrderEvent[];
  untold_events: number;
  terms?: OrderTerms | null;
  acknowledgement?: AcknowledgementView | null;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface FillView {
  market: string;
  price_ticks: number;
  size_lots: number;
  fee_micros: string;
  maker_fee_micros: string;
  taker_fee_micros: string;
  maker: number | null;
  taker: number | null;
  maker_order_id: string;
  taker_order_id: string;
  taker_side: "buy" | "sell";
  is_rescue: boolean;
  time_ms: number;
  chunk: number;
  operation_index: number;
}

export interface OrderEvent {
  order_id: string;
  client_id: string;
  account: number;
  market: string;
  side: "buy" | "sell";
  event: string;
  status: string;
  reason: string;
  detail: string;
  lots: number;
  filled_lots: number;
  remaining_lots: number;
  price_ticks: number | null;
  role: string;
  fee_micros: string;
  time_ms: number;
  sequence: number | string;
}

export interface OrderTerms {
  size_lots: number;
  limit_price_ticks: number;
  time_in_force: number;
  post_only: boolean;
  reduce_only: boolean;
  trigger: number;
  trigger_price_ticks: number;
  expires_at_ms: number;
}

export interface AcknowledgementView {
  tag: number;
  account: number;
  slot: number;
  sequence: number;
  filled_lots: number | string;
  time_ms: number;
  place: number;
  path: string[];
  signature: string;
}

export interface SignedBatch {
  orders: BatchItem[];
}

export interface BatchItem {
  signature: string;
  order?: OrderFields | null;
  cancel?: RequestFields | null;
  client_id?: string;
  self_trade?: "cancel_maker" | "cancel_taker" | "decrement";
  group?: number;
  after?: string;
  replaces?: string;
  order_id?: string | null;
}

export interface RequestFields {
  account: number;
  sequence: string | number;
  created_at_ms: string | number;
  expires_at_ms: string | number;
  slot?: number;
  amount_micros?: string | number;
  recipient?: string;
  to_account?: number;
  agent_index?: number;
  agent?: string;
  agent_expires_at_ms?: string | number;
  first_slot?: number;
  last_slot?: number;
  initial_ppm?: number;
  max_posting_fee_micros?: number;
}

export interface AnsweredOrder {
  result?: OrderResult | null;
  cancelled?: RequestResult | null;
  error?: RefusedCall | null;
}

export interface RequestResult {
  code: number;
  chunk: number;
  operation_index: number;
  receipt: ReceiptView | null;
  withdrawal_index: number | null;
  account_opened: number | null;
  acknowledgement?: AcknowledgementView | null;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface ReceiptView {
  account: number;
  slot: number;
  sequence: number;
  time_ms: number;
  running_hash: string;
  signature: string;
}

export interface RefusedCall {
  code: number;
  message: string;
  data: Record<string, string | number | boolean | string[] | null>;
}

export interface SignedRequest {
  request: RequestFields;
  signature: string;
}

export interface ScheduledCancel {
  request: RequestFields;
  signature: string;
  at_ms: number;
}

export interface DisconnectCancels {
  cancels: SignedRequest[];
}

export interface AtEnd {
  accounts: number[];
}

export interface OfOperation {
  operation: UnsignedOperation;
}

export interface TypedData {
  typed_data: SigningRequest;
  digest: string;
  operation: UnsignedOperation;
}

export interface SigningRequest {
  types: Record<string, TypedField[]>;
  primaryType: string;
  domain: TypedDomain;
  message: Record<string, boolean | string | number | string>;
}

export interface TypedField {
  name: string;
  type: string;
}

export interface TypedDomain {
  name: string;
  version: string;
  chainId: number;
  verifyingContract: string;
}

export interface ToAddress {
  address: string;
}

export interface FaucetPayment {
  amount_micros: string;
  wei: string;
  transaction_hash: string;
}

export interface PostMortemsOf {
  account?: number | null;
  limit?: number;
}

export interface PostMortemView {
  number: number;
  kind: string;
  account: number;
  market: string;
  lots: number | string;
  quote_micros: string;
  price_ticks: number | string;
  oracle_price_ticks: number | string;
  previous_price_ticks: number | string;
  judged_price_ticks: number | string;
  zero_price_ticks: number | string | null;
  tick_time_ms: number;
  signers: number[];
  judged_equity_micros: string;
  judged_maintenance_micros: string;
  counted_at: string;
  equity_before_micros: string;
  initial_before_micros: string;
  maintenance_before_micros: string;
  equity_after_micros: string;
  initial_after_micros: string;
  maintenance_after_micros: string;
  one_lot_less_equity_micros: string | null;
  one_lot_less_initial_micros: string | null;
  fee_micros: string;
  paid_by_fund_micros: string;
  counterparty: number;
  chunk: number;
  operation: number;
  formulas: Record<string, string>;
  finality: "final" | "posted" | "preview" | "sequenced";
}

export interface RankingOf {
  market: string | number;
  side: "long" | "short";
  limit?: number;
}

export interface RankView {
  account: number | null;
  rank: number;
  score_ppm: number | string;
}

export interface AccountSpan {
  before?: string;
  after?: string;
  from_ms?: number | null;
  to_ms?: number | null;
  limit?: number;
  account: number;
}

export interface FillsPage {
  older: string;
  newer: string;
  fills: OwnFillView[];
}

export interface OwnFillView {
  market: string;
  side: "buy" | "sell";
  role: string;
  size_lots: number | string;
  price_ticks: number | string;
  fee_micros: string;
  order_id: string;
  client_id: string;
  position_lots: number | string;
  realised_micros: string;
  collateral_micros: string;
  counterparty: number;
  chunk: number;
  operation_index: number;
  time_ms: number;
  sequence: number | string;
}

export interface MarketSpan {
  before?: string;
  after?: string;
  from_ms?: number | null;
  to_ms?: number | null;
  limit?: number;
  market: string | number;
}

export interface TradesPage {
  older: string;
  newer: string;
  trades: FillView[];
}

export interface CandleSpan {
  before?: string;
  after?: string;
  from_ms?: number | null;
  to_ms?: number | null;
  limit?: number;
  market: string | number;
  interval: "15m" | "1d" | "1h" | "1m" | "4h" | "5m";
  source?: "oracle" | "trades";
}

export interface CandlesPage {
  older: string;
  newer: string;
  market: string;
  interval: "15m" | "1d" | "1h" | "1m" | "4h" | "5m";
  source: "oracle" | "trades";
  candles: CandleView[];
}

export interface CandleView {
  start_ms: number;
  open_ticks: number | string;
  high_ticks: number | string;
  low_ticks: number | string;
  close_ticks: number | string;
  volume_lots: number | string;
  quote_micros: string;
  trades: number;
}

export interface FundingPaymentsPage {
  older: string;
  newer: string;
  payments: FundingPaymentView[];
}

export interface FundingPaymentView {
  paid_micros: string;
  collateral_micros: string;
  positions: FundingLeg[];
  time_ms: number;
  sequence: number | string;
}

export interface FundingLeg {
  market: string;
  size_lots: number | string;
  index_before: number | string;
  index: number | string;
  owed_nanos: string;
}

export interface FundingRatesPage {
  older: string;
  newer: string;
  market: string;
  rates: FundingRateView[];
}

export interface FundingRateView {
  hour_ms: number;
  index_before: number | string;
  index: number | string;
  rate_ppb: number | string;
  premium_ppb: number | string;
  price_ticks: number | string;
}

export interface TransfersPage {
  older: string;
  newer: string;
  transfers: TransferView[];
}

export interface TransferView {
  kind: string;
  amount_micros: string;
  fee_micros: string;
  other: number | null;
  withdrawal: number | null;
  collateral_micros: string;
  time_ms: number;
  sequence: number | string;
}

export interface EquityPage {
  older: string;
  newer: string;
  points: EquityPoint[];
}

export interface EquityPoint {
  time_ms: number;
  equity_micros: string;
  collateral_micros: string;
}

export interface OrdersOf {
  account: number;
  before?: string;
  limit?: number;
}

export interface OrdersPage {
  orders: OrderResult[];
  older: string;
}

export interface StatisticsOf {
  market?: string | number | null;
}

export interface StatisticsView {
  market: string;
  volume_lots: number | string;
  volume_micros: string;
  trades: number;
  open_ticks: number | string | null;
  high_ticks: number | string | null;
  low_ticks: number | string | null;
  close_ticks: number | string | null;
  price_ticks: number | string;
  open_interest_lots: number | string;
  funding_rate_ppb: number;
  time_ms: number;
}

export interface LimitsView {
  connection: Tokens;
  address: Tokens;
  token_bytes: number;
  connections: number;
  calls_in_flight: number;
  batch_calls: number;
  body_bytes: number;
  answer_bytes: number;
  connection_subscriptions: number;
  idle_ms: number;
  call_ms: number;
  venue: VenueLimits;
}

export interface Tokens {
  left: number;
  rate: number;
  burst: number;
}

export interface VenueLimits {
  account_orders: number;
  place_micros: number;
  book_orders: number;
  orders_a_call: number;
  order_life_ms: number;
  immediate_life_ms: number;
  trigger_life_ms: number;
  request_life_ms: number;
}

export interface ChallengeView {
  challenge: string;
  expires_at_ms: number;
}

export interface AccessShown {
  account: number;
  host: string;
  signature: string;
}

export interface AccessView {
  account: number;
  signer: string;
}

export interface SignedReport {
  time_ms: number;
  signer_index: number;
  prices_ticks: number[];
  premiums_ppb: number[];
  signature: string;
}

export interface ReportAnswer {
  status: string;
  received: number;
  quorum: number;
}

export interface ReportsOf {
  time_ms?: number | null;
  limit?: number;
}

export interface ReportRound {
  time_ms: number;
  chosen: number[];
  code: string;
  tick: string;
  reports: KeptReport[];
}

export interface KeptReport {
  signer_index: number;
  prices_ticks: number[];
  premiums_ppb: number[];
  signature: string;
  received_ms: number;
}

export interface PriceMove {
  market: string | number;
  ppm: number;
}

export interface MovedPrice {
  market: string;
  ppm: number;
}

export interface Subscribe {
  channel: string;
  since?: number | null;
  epoch?: string | null;
}

export interface Subscribed {
  channel: string;
  epoch: string;
  sequence: number;
  snapshot: ChannelSnapshot;
  updates: ChannelUpdate[];
}

export interface Unsubscribe {
  channel: string;
}

export interface Unsubscribed {
  channel: string;
  epoch: string;
  sequence: number;
}

export interface Document {
  openrpc: string;
  info: Info;
  methods: MethodDescription[];
  "x-effects-version": number;
  "x-channels": ChannelDescription[];
  components: Components;
}

export interface Info {
  title: string;
  version: string;
  description: string;
}

export interface MethodDescription {
  name: string;
  summary: string;
  paramStructure: "either";
  "x-params-bytes": number;
  params: Parameter[];
  result: NamedSchema;
  errors: Reference[];
}

export interface Parameter {
  name: string;
  required: boolean;
  schema: Record<string, unknown>;
}

export interface NamedSchema {
  name: string;
  schema: Record<string, unknown>;
}

export interface Reference {
  "$ref": string;
}

export interface ChannelDescription {
  name: string;
  summary: string;
  snapshot: Record<string, unknown>;
  message: Record<string, unknown>;
}

export interface Components {
  schemas: Record<string, Record<string, unknown>>;
  errors: Record<string, ErrorDescription>;
}

export interface ErrorDescription {
  code: number;
  message: string;
  data: Record<string, string>;
}

export interface Depth {
  market: string;
  bids: [number, number][];
  asks: [number, number][];
  checksum: number;
  time_ms: number;
}

export interface DepthChange {
  market: string;
  previous: number;
  bids: [number, number][];
  asks: [number, number][];
  checksum: number;
  time_ms: number;
}

export interface FundingNow {
  hour_ms: number;
  index_before: number | string;
  index: number | string;
  rate_ppb: number | string;
  premium_ppb: number | string;
  price_ticks: number | string;
  market: string;
}

export interface AccountUpdate {
  account: number;
  owner: string;
  floor: number | string;
  collateral_micros: string;
  settled_micros: string;
  maturing: Maturing[];
  initial_ppm: number;
  agents: (AgentView | null)[];
  equity_micros: string;
  initial_micros: string;
  maintenance_micros: string;
  notional_micros: string;
  reserved_micros: string;
  free_collateral_micros: string;
  withdrawable_micros: string;
  margin_usage_ppm: number | string | null;
  margin_ratio_ppm: number | string | null;
  leverage_ppm: number | string | null;
  fall_bp: number | null;
  rise_bp: number | null;
  positions: PositionView[];
  buying_power: BuyingPower[];
  margin_call_percent: number;
  finality: "final" | "posted" | "preview" | "sequenced";
  slots_hint: SlotHint;
  open_orders: OpenOrder[];
  root: string;
  has_voided: boolean;
  margin_call?: MarginCall | null;
  rescue?: PostMortemView | null;
}

export interface MarginCall {
  account: number | null;
  level_percent: number;
  previous_percent: number;
  margin_ratio_ppm: number | string | null;
  equity_micros: string | null;
  maintenance_micros: string | null;
  tick_time_ms: number;
}

export type ChannelSnapshot = MarketView[] | Book | Depth | FillView[] | CandleView[] | FundingNow[] | AccountView | OpenOrder[] | MarginCall[] | PostMortemView[] | BatchView[] | null;

export type ChannelUpdate = {
    channel: "prices";
    epoch: string;
    sequence: number;
    data: MarketView[];
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: Book;
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: DepthChange;
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: FillView;
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: CandleView[];
  } | {
    channel: "funding";
    epoch: string;
    sequence: number;
    data: FundingNow[];
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: AccountUpdate;
  } | {
    channel: string;
    epoch: string;
    sequence: number;
    data: OrderEvent[];
  } | {
    channel: "margin_calls";
    epoch: string;
    sequence: number;
    data: MarginCall;
  } | {
    channel: "rescues";
    epoch: string;
    sequence: number;
    data: PostMortemView;
  } | {
    channel: "batches";
    epoch: string;
    sequence: number;
    data: BatchView[];
  };

export interface Methods {
  "catenary_status": { params: Record<string, never>; result: Status };
  "catenary_queue": { params: { index?: number | null; account?: number | null; limit?: number }; result: QueueView };
  "catenary_batches": { params: { limit?: number }; result: BatchView[] };
  "catenary_deposits": { params: { account?: number | null; owner?: string | null }; result: DepositsView };
  "catenary_withdrawals": { params: { account?: number | null; recipient?: string | null }; result: WithdrawalView[] };
  "catenary_withdrawalProof": { params: { index: number }; result: WithdrawalProof };
  "catenary_proof": { params: { account: number }; result: AccountProof };
  "catenary_globals": { params: { final?: boolean }; result: GlobalsProof };
  "catenary_markets": { params: Record<string, never>; result: MarketView[] };
  "catenary_book": { params: { market: string | number; levels?: number }; result: Book };
  "catenary_accounts": { params: { owner: string }; result: number[] };
  "catenary_account": { params: { account: number }; result: AccountView };
  "catenary_voided": { params: { account: number }; result: VoidedView[] };
  "catenary_openOrders": { params: { account: number }; result: OpenOrder[] };
  "catenary_preview": { params: { operation: UnsignedOperation; opened_with_micros?: string | number | null }; result: Preview };
  "catenary_previewDeposit": { params: { account: number; amount_micros: string | number }; result: DepositPreview };
  "catenary_explain": { params: { account: number }; result: Explanation };
  "catenary_contribution": { params: { account: number; shock_bp?: number; market?: string | number | null; betas_bp?: Record<string, number> }; result: Contribution };
  "catenary_order": { params: { order?: OrderFields | null; signature?: string | null; client_id?: string; self_trade?: "cancel_maker" | "cancel_taker" | "decrement"; group?: number; after?: string; replaces?: string; account?: number | null; slot?: number | null; sequence?: string | number | null; order_id?: string | null }; result: OrderResult };
  "catenary_orders": { params: { orders: BatchItem[] }; result: AnsweredOrder[] };
  "catenary_withdraw": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_transfer": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_cancel": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_cancelAll": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_scheduleCancel": { params: { request: RequestFields; signature: string; at_ms: number }; result: RequestResult };
  "catenary_cancelOnDisconnect": { params: { cancels: SignedRequest[] }; result: AtEnd };
  "catenary_setAgent": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_setLeverage": { params: { request: RequestFields; signature: string }; result: RequestResult };
  "catenary_typedData": { params: { operation: UnsignedOperation }; result: TypedData };
  "catenary_faucet": { params: { address: string }; result: FaucetPayment };
  "catenary_postMortems": { params: { account?: number | null; limit?: number }; result: PostMortemView[] };
  "catenary_deleveragingRanking": { params: { market: string | number; side: "long" | "short"; limit?: number }; result: RankView[] };
  "catenary_fills": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; account: number }; result: FillsPage };
  "catenary_trades": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; market: string | number }; result: TradesPage };
  "catenary_candles": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; market: string | number; interval: "15m" | "1d" | "1h" | "1m" | "4h" | "5m"; source?: "oracle" | "trades" }; result: CandlesPage };
  "catenary_fundingPayments": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; account: number }; result: FundingPaymentsPage };
  "catenary_fundingRates": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; market: string | number }; result: FundingRatesPage };
  "catenary_transfers": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; account: number }; result: TransfersPage };
  "catenary_equity": { params: { before?: string; after?: string; from_ms?: number | null; to_ms?: number | null; limit?: number; account: number }; result: EquityPage };
  "catenary_orderHistory": { params: { account: number; before?: string; limit?: number }; result: OrdersPage };
  "catenary_statistics": { params: { market?: string | number | null }; result: StatisticsView[] };
  "catenary_limits": { params: Record<string, never>; result: LimitsView };
  "catenary_challenge": { params: Record<string, never>; result: ChallengeView };
  "catenary_access": { params: { account: number; host: string; signature: string }; result: AccessView };
  "catenary_report": { params: { time_ms: number; signer_index: number; prices_ticks: number[]; premiums_ppb: number[]; signature: string }; result: ReportAnswer };
  "catenary_reports": { params: { time_ms?: number | null; limit?: number }; result: ReportRound[] };
  "catenary_movePrice": { params: { market: string | number; ppm: number }; result: MovedPrice };
  "catenary_subscribe": { params: { channel: string; since?: number | null; epoch?: string | null }; result: Subscribed };
  "catenary_unsubscribe": { params: { channel: string }; result: Unsubscribed };
  "rpc.discover": { params: Record<string, never>; result: Document };
}

export interface Channels {
  "prices": { snapshot: MarketView[]; message: MarketView[] };
  "book:": { snapshot: Book; message: Book };
  "book_deltas:": { snapshot: Depth; message: DepthChange };
  "trades:": { snapshot: FillView[]; message: FillView };
  "candles:": { snapshot: CandleView[]; message: CandleView[] };
  "funding": { snapshot: FundingNow[]; message: FundingNow[] };
  "account:": { snapshot: AccountView; message: AccountUpdate };
  "orders:": { snapshot: OpenOrder[]; message: OrderEvent[] };
  "margin_calls": { snapshot: MarginCall[]; message: MarginCall };
  "rescues": { snapshot: PostMortemView[]; message: PostMortemView };
  "batches": { snapshot: BatchView[]; message: BatchView[] };
}
