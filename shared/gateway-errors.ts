/** The `error.code` by which the gateway says that not the service but the way to it failed. */
export const UPSTREAM_UNREACHABLE = 'upstream_unreachable'
