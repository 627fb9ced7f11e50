/*
 * SPDX-License-Identifier: MIT
 *
 * httpd.h - a small HTTP/1.0 server for the demo, on 127.0.0.1 and plain
 * libev.  It serves a fixed list of pages, and can be told to stop halfway
 * through one, so that a client has something to give up on.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;

typedef struct httpd httpd;

struct httpd_page {
	const char *path;
	const char *type;
	const void *bytes;
	size_t size;
	bool stalls; /* send one half, and never the other */
};

/*
 * Serve `pages`, which stay the caller's, on a port that the kernel picks.
 * Returns the server; or NULL, with the reason in errno.
 */
httpd *httpd_new(struct ev_loop *ev, const struct httpd_page *pages,
		 size_t page_count);
void httpd_free(httpd *h);

unsigned httpd_port(const httpd *h);

/* Call `fn(ctx)` when a client hangs up before it was sent everything. */
void httpd_on_hangup(httpd *h, void (*fn)(void *ctx), void *ctx);

#endif /* HTTPD_H */
