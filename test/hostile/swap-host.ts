/**
 * Starts a conversation again and again, each with a tool that looks for what is not of the workspace, and writes a
 * line about each. `swap-host.js '{"workspace": …, "dataDir": …, "image": …, "starts": …, "command": …}'`
 */
import { openConversation } from '../../host/open-conversation.ts'

const { workspace, dataDir, image, starts, command } = JSON.parse(process.argv[2] ?? '')

for (let start = 0; start < starts; start++) {
  const conversation = await openConversation({
    workspace,
    settings: { provider: 'demo', engine: 'docker', image, dataDir },
  })
  let printed = ''
  const run = conversation.run(`run: ${command}`)
  for await (const event of run) {
    if (event.type === 'item') printed += JSON.stringify(event.item)
  }
  const { status, error } = await run.result
  await conversation.close()
  process.stdout.write(`${JSON.stringify({ status, error, printed })}\n`)
}
