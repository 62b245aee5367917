/**
 * Version of the lines between host and container, and so of the `--json` output.
 * Raised when a reader of the old lines would misunderstand the new ones; added fields do not count.
 * In its own file, because the container script must not load the schemas and zod.
 */
export const PROTOCOL_VERSION = 1
