/** An entry as the service writes it, with what we have no use for; a test names what it is about. */
export function wireModel(slug: string, about: Record<string, unknown> = {}) {
  return {
    slug,
    display_name: slug.toUpperCase(),
    description: 'For everything.',
    visibility: 'list',
    priority: 1,
    supported_in_api: true,
    default_reasoning_level: 'medium',
    supported_reasoning_levels: [
      { effort: 'low', description: 'Fast' },
      { effort: 'medium', description: 'Balanced' },
      { effort: 'high', description: 'Thorough' },
    ],
    default_reasoning_summary: 'none',
    support_verbosity: true,
    default_verbosity: 'low',
    context_window: 272_000,
    max_context_window: 872_000,
    effective_context_window_percent: 95,
    input_modalities: ['text', 'image'],
    apply_patch_tool_type: 'freeform',
    web_search_tool_type: 'text_and_image',
    use_responses_lite: true,
    minimal_client_version: '0.144.0',
    upgrade: null,
    base_instructions: 'x'.repeat(20_000),
    ...about,
  }
}
