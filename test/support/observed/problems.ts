import {
  createServiceAuth,
  ServiceAuthConfigError,
  type ServiceAuthOptions,
} from 'nestjs-service-auth/core';

/** Every problem of some options, each as `field: what to write`; none when a service comes of them. */
export async function problemsOf(options: unknown): Promise<readonly string[]> {
  try {
    await createServiceAuth(options as ServiceAuthOptions);
    return [];
  } catch (error) {
    if (error instanceof ServiceAuthConfigError) {
      for (const problem of error.problems) expect(error.message).toContain(problem);
      return error.problems;
    }
    throw error;
  }
}

/** The fields of the problems, in order. */
export async function fieldsOf(options: unknown): Promise<string[]> {
  return (await problemsOf(options)).map((problem) => problem.split(': ')[0] ?? '').toSorted();
}
