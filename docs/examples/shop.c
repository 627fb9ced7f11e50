/*
 * SPDX-License-Identifier: MIT
 *
 * shop.c - the ten steps of shop.h: a request each, answered by a timer.
 * Refusing, odd steps do not start and even ones call back with an error.
 */
#include "shop.h"

#include <ev.h>
#include <stdlib.h>

struct request {
	int err;
	int id;
	shop_fn *cb;
	void *ctx;
};

static void on_answer(int events, void *arg)
{
	struct request r = *(struct request *)arg;

	(void)events;
	free(arg);
	r.cb(r.err, r.id, r.ctx);
}

static int shop_ask(struct shop *shop, int step, int id, shop_fn *cb, void *ctx)
{
	if (shop->refuses == step && step % 2 == 1)
		return SHOP_ECLOSED;

	struct request *r = malloc(sizeof(*r));

	if (!r)
		return SHOP_ECLOSED;
	r->err = shop->refuses == step ? SHOP_EREFUSED : SHOP_OK;
	r->id = (id * 7 + step) % 1000;
	r->cb = cb;
	r->ctx = ctx;
	ev_once(shop->ev, -1, 0, 0.001, on_answer, r);
	return 0;
}

int shop_session(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 1, id, cb, ctx);
}

int shop_user(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 2, id, cb, ctx);
}

int shop_account(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 3, id, cb, ctx);
}

int shop_cart(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 4, id, cb, ctx);
}

int shop_order(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 5, id, cb, ctx);
}

int shop_price(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 6, id, cb, ctx);
}

int shop_payment(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 7, id, cb, ctx);
}

int shop_parcel(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 8, id, cb, ctx);
}

int shop_invoice(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 9, id, cb, ctx);
}

int shop_receipt(struct shop *shop, int id, shop_fn *cb, void *ctx)
{
	return shop_ask(shop, 10, id, cb, ctx);
}

const char *shop_strerror(int err)
{
	switch ((enum shop_error)err) {
	case SHOP_OK:
		return "no error";
	case SHOP_ECLOSED:
		return "the shop is closed";
	case SHOP_EREFUSED:
		return "the shop refused";
	}
	return "unknown error";
}
