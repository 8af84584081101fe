// What the hosts use of packages that only their own folder installs.
declare module '@azure/functions' {
  interface HttpResponseInit {
    status?: number;
    headers?: Record<string, string>;
    body?: Uint8Array;
  }
  class HttpRequest {
    constructor(init: {
      method: string | undefined;
      url: string;
      headers: Record<string, string>;
      body: { bytes: Uint8Array };
    });
  }
  class HttpResponse extends Response {
    constructor(init: HttpResponseInit);
  }
  const functions: { HttpRequest: typeof HttpRequest; HttpResponse: typeof HttpResponse };
  export { functions as default, type HttpRequest, type HttpResponseInit };
}

declare module 'node-mocks-http' {
  interface MockResponse {
    readonly statusCode: number;
    on(event: 'end', listener: () => void): this;
    getHeaders(): Record<string, string>;
    _getData(): string;
  }
  const mocks: {
    createRequest(parts: object): object;
    createResponse(parts: object): MockResponse;
  };
  export { mocks as default };
}
