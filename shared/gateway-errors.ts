/** The `error.code` by which the gateway says that not the service but the way to it failed, or the way back. */
export const UPSTREAM_UNREACHABLE = 'upstream_unreachable'
/** The request asks for what this run may not have; asked again, it gets the same answer. */
export const POLICY_REFUSED = 'policy_refused'
/** The run has had all that it may have; also final. */
export const BUDGET_SPENT = 'budget_spent'
