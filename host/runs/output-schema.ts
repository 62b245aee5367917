import { z } from 'zod'
import { CodexboxError, messageOf } from '../../shared/errors.ts'

/** The required schema of an answer. */
export interface OutputSchema {
  /** The JSON Schema for the service. */
  json: Record<string, unknown>
  /** The fault of an answer, or undefined. */
  wrong(text: string): string | undefined
}

/** @throws CodexboxError `wrong-use` unless `json` is a JSON Schema of an object */
export function readOutputSchema(json: Record<string, unknown>): OutputSchema {
  const schema = parse(json)
  return {
    json,
    wrong(text) {
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        return 'it is not JSON'
      }
      const issue = schema.safeParse(value).error?.issues[0]
      return issue && `${issue.path.join('.') || 'the whole'}: ${issue.message}`
    },
  }
}

function parse(json: Record<string, unknown>): z.ZodType {
  const refuse = (why: string) =>
    new CodexboxError('wrong-use', `The output schema cannot be used: ${why}.`)
  if (json.type !== 'object') throw refuse('its type has to be "object"')
  try {
    return z.fromJSONSchema(json)
  } catch (error) {
    throw refuse(messageOf(error))
  }
}
