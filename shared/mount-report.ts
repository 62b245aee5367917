import { z } from 'zod'

/**
 * How a container proves its mounts before it gets a request. JSON lines ahead of the protocol, on stdout and
 * stdin, when the host has started the container script with the argument `agent`.
 */

/** The first line from the container. */
export const MountReport = z.object({
  type: z.literal('mounts'),
  /** The kernel's `boot_id`: equal to the host's only on the same kernel, where inode numbers can be compared. */
  bootId: z.string(),
  /** The text of /proc/self/mountinfo. */
  table: z.string(),
  /** By requested path: the file there, opened without following a link. */
  targets: z.record(
    z.string(),
    z.union([
      /** `identity` is `device:inode`; `mountId` is the first field of its line in the table. */
      z.object({ mountId: z.number().int(), identity: z.string() }),
      z.object({ error: z.string() }),
    ]),
  ),
})
export type MountReport = z.infer<typeof MountReport>

/** The host has just made `file` in each of the folders and asks for its content as seen from inside. */
export const ProofRequest = z.object({ type: z.literal('prove'), file: z.string().min(1) })
export type ProofRequest = z.infer<typeof ProofRequest>

/** The answer: by path of a folder the text of that file; by path of a file its SHA-256 in hex. */
export const Proofs = z.object({
  type: z.literal('proofs'),
  targets: z.record(z.string(), z.string()),
})
export type Proofs = z.infer<typeof Proofs>
