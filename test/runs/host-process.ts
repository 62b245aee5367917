/**
 * A host in a process of its own, to be killed: `host-process.ts WORKSPACE SESSION PROMPT`. Prints the
 * events of the run. The provider and the rest come from the environment.
 */
import { openConversation } from '../../host/runs/open-conversation.ts'

const [workspace = '', session = '', prompt = ''] = process.argv.slice(2)

const conversation = await openConversation({ workspace, session })
for await (const event of conversation.run(prompt)) {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
await conversation.close()
