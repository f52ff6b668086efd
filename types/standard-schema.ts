/** What a library needs to implement so that its schemas check payloads: version 1 of https://standardschema.dev, as zod, valibot and arktype have it. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** The schema as the specification describes it. */
  readonly '~standard': {
    /** The version of the specification. */
    readonly version: 1
    /** The name of the library. */
    readonly vendor: string
    /** Checks a value and answers with what it makes of it. A payload's schema has to answer at once, without a promise. */
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    /** Carries the types of what goes in and of what comes out; absent at run time. */
    readonly types?: { readonly input: Input, readonly output: Output } | undefined
  }
}

/** What a check came to: a value, or why there is none. */
export type StandardResult<Output> =
  | { readonly value: Output, readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** One thing that is wrong with a value. */
export interface StandardIssue {
  /** What is wrong. */
  readonly message: string
  /** Where in the value; absent or empty: the value itself. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}
