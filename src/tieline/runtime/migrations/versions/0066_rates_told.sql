-- A page tells what amounts of several currencies come to: rates of exchange are the whole firm's, and no secret.
GRANT SELECT ON fx_rate TO tieline_web;
