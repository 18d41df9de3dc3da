"""What can go wrong on the way, each in a sentence."""

CODES = {
    "connect_failed": "no connection to the agency; nothing was sent",
    "no_time_left": "the deadline passed before there was a connection; nothing was sent",
    "name_unknown": "the agency's host name is not known; nothing was sent",
    "address_refused": "the address is not https, or leads to one that is not public; nothing was sent",
    "tls_failed": "the agency's certificate was not accepted, or it spoke no TLS; nothing was sent",
    "token_refused": "the agency refused the gateway's credentials; nothing was sent",
    "token_unavailable": "the agency gave no access token; nothing was sent",
    "request_unbuildable": "the adapter's request cannot be sent as it is; nothing was sent",
    "mail_not_taken": "the mail server did not answer, or did not take the alert",
    "timeout": "no whole reply before the deadline; the agency may have it",
    "connection_lost": "the connection broke after the request was written; the agency may have it",
    "redirected": "the agency answered with a redirect, which is never followed; it may have it",
    "reply_truncated": "the reply ended too soon; the agency may have it",
    "reply_too_large": "the reply was over the size limit; the agency may have it",
    "reply_unreadable": "the reply does not follow the contract; the agency may have it",
}
