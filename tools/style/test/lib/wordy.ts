/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const ONE = 1;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const TWO = 2;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const THREE = 3;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const FOUR = 4;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const FIVE = 5;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const SIX = 6;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const SEVEN = 7;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const EIGHT = 8;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const NINE = 9;
/** The guard reads the header of each request and then finds the issuer of the token among the trusted issuers of the service. */
export const TEN = 10;
