/** A version of the Codex CLI, as the service writes it. */
export const CLIENT_VERSION = /^\d{1,5}\.\d{1,5}\.\d{1,5}(-[\w.]{1,40})?$/
