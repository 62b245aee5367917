import { z } from 'zod'

/**
 * How a container proves what is mounted in it, before it is given anything. Lines of JSON ahead of the protocol,
 * on stdout and stdin, where the host has started the container script with the argument `agent`.
 */

/** The first line from the container. */
export const MountReport = z.object({
  type: z.literal('mounts'),
  /** The kernel's `boot_id`: equal to the host's only where they are one kernel, and numbers of files mean the same. */
  bootId: z.string(),
  /** The text of /proc/self/mountinfo. */
  table: z.string(),
  /** By path, of each that was asked about: what is there, reached without following a link. */
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

/** The host asks what a file, which it has just made in each of the folders, holds as seen from inside. */
export const ProofRequest = z.object({ type: z.literal('prove'), file: z.string().min(1) })
export type ProofRequest = z.infer<typeof ProofRequest>

/** The answer: by path of each target, the text of that file; of a target that is a file its SHA-256 in hex. */
export const Proofs = z.object({
  type: z.literal('proofs'),
  targets: z.record(z.string(), z.string()),
})
export type Proofs = z.infer<typeof Proofs>
