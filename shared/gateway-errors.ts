/** The gateway's `error.code` when the connection to the service failed, not the service. */
export const UPSTREAM_UNREACHABLE = 'upstream_unreachable'
/** The run's policy forbids the request; a retry gets the same answer. */
export const POLICY_REFUSED = 'policy_refused'
/** The run's budget is spent; a retry gets the same answer. */
export const BUDGET_SPENT = 'budget_spent'
