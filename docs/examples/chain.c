/*
 * SPDX-License-Identifier: MIT
 *
 * chain.c - the same ten steps as a chain.  It reads from the top down, and
 * whatever fails, wherever it fails, arrives in one place.
 */
#include "buy.h"

AVOW_CALLBACK(on_id, AVOW_ERR(int, shop_strerror), AVOW_NUM(int),
	      AVOW_CTX(void *));

static avow_promise *ask(const struct purchase *buy, shop_step_fn *step, int id)
{
	return AVOW_PROMISIFY(buy->loop,
			      step(buy->shop, id, on_id, AVOW_CONTEXT));
}

static avow_value get_user(avow_value session, void *buy)
{
	int id = note(buy, "session", (int)avow_int_get(session));

	return avow_await(ask(buy, shop_user, id));
}

static avow_value get_account(avow_value user, void *buy)
{
	int id = note(buy, "user", (int)avow_int_get(user));

	return avow_await(ask(buy, shop_account, id));
}

static avow_value get_cart(avow_value account, void *buy)
{
	int id = note(buy, "account", (int)avow_int_get(account));

	return avow_await(ask(buy, shop_cart, id));
}

static avow_value get_order(avow_value cart, void *buy)
{
	int id = note(buy, "cart", (int)avow_int_get(cart));

	return avow_await(ask(buy, shop_order, id));
}

static avow_value get_price(avow_value order, void *buy)
{
	int id = note(buy, "order", (int)avow_int_get(order));

	return avow_await(ask(buy, shop_price, id));
}

static avow_value get_payment(avow_value price, void *buy)
{
	int id = note(buy, "price", (int)avow_int_get(price));

	return avow_await(ask(buy, shop_payment, id));
}

static avow_value get_parcel(avow_value payment, void *buy)
{
	int id = note(buy, "payment", (int)avow_int_get(payment));

	return avow_await(ask(buy, shop_parcel, id));
}

static avow_value get_invoice(avow_value parcel, void *buy)
{
	int id = note(buy, "parcel", (int)avow_int_get(parcel));

	return avow_await(ask(buy, shop_invoice, id));
}

static avow_value get_receipt(avow_value invoice, void *buy)
{
	int id = note(buy, "invoice", (int)avow_int_get(invoice));

	return avow_await(ask(buy, shop_receipt, id));
}

static avow_value finish(avow_value receipt, void *buy)
{
	note(buy, "receipt", (int)avow_int_get(receipt));
	return avow_none();
}

static avow_value fail(avow_value error, void *arg)
{
	const struct purchase *buy = arg;

	fprintf(buy->out, "failed: %s\n", shop_strerror(avow_code(error)));
	return avow_none();
}

void buy_chain(struct purchase *buy, int token)
{
	avow_promise *p = ask(buy, shop_session, token);

	p = avow_then(p, get_user, buy);
	p = avow_then(p, get_account, buy);
	p = avow_then(p, get_cart, buy);
	p = avow_then(p, get_order, buy);
	p = avow_then(p, get_price, buy);
	p = avow_then(p, get_payment, buy);
	p = avow_then(p, get_parcel, buy);
	p = avow_then(p, get_invoice, buy);
	p = avow_then(p, get_receipt, buy);
	p = avow_then(p, finish, buy);
	avow_catch(p, fail, buy);
}
