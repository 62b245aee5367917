/**
 * A host as a process of its own, which can be killed, be another user, or find another engine: runs
 * one prompt and writes its events. `host-script.js '{"prompt": …, …options}'`
 */
import { openConversation } from '../../host/open-conversation.ts'
import { CodexboxError } from '../../shared/errors.ts'

const { prompt, ...options } = JSON.parse(process.argv[2] ?? '')
const write = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

try {
  const conversation = await openConversation(options)
  for await (const event of conversation.run(prompt)) write(event)
  await conversation.close()
} catch (error) {
  if (!(error instanceof CodexboxError)) throw error
  write({ type: 'refused', code: error.code, message: error.message })
}
