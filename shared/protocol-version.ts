/**
 * Version of the lines between host and container, and so of the `--json` output.
 * Raised when a reader of the old lines would misunderstand the new ones; added fields do not count.
 * Apart from the schemas, because the container script takes no zod along.
 */
export const PROTOCOL_VERSION = 1
