export function buildAgent(): Promise<void>
export function buildScan(): Promise<void>
