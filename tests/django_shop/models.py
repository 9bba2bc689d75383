"""One model for each thing that Django's models can be."""

from __future__ import annotations

import uuid

from django.db import models

from shipper.django import audited


@audited
class Customer(models.Model):
    name = models.CharField(max_length=50)
    city = models.CharField(max_length=50, default="")
    card_number = models.CharField(max_length=50, default="")

    def __str__(self) -> str:
        return f"{self.name} {self.card_number}".strip()


class Tag(models.Model):
    name = models.CharField(max_length=50)


@audited(fields=["total", "customer", "note", "data", "placed_at", "tags", "approved_by"])
class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    approved_by = models.ForeignKey(Customer, models.SET_NULL, null=True, related_name="approved")
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    note = models.TextField(default="")
    internal = models.TextField(default="")
    data = models.JSONField(default=dict)
    placed_at = models.DateTimeField(null=True)
    tags = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return f"order of {self.customer}"  # which takes a query, where it is not there yet


class BigOrder(Order):
    class Meta:
        proxy = True


@audited
class Line(models.Model):
    """Has nothing below it: Django deletes it without loading it."""

    order = models.ForeignKey(Order, models.CASCADE)
    text = models.CharField(max_length=50)


class Place(models.Model):
    name = models.CharField(max_length=50)


class Restaurant(Place):
    stars = models.IntegerField(default=0)


audited(Place)
audited(Restaurant, fields=["stars"])


@audited
class Parcel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    weight = models.FloatField(default=0)


class Person(models.Model):
    name = models.CharField(max_length=50)


@audited
class Club(models.Model):
    name = models.CharField(max_length=50)
    members = models.ManyToManyField(Person, through="Membership")


class Membership(models.Model):
    club = models.ForeignKey(Club, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)
    since = models.IntegerField(default=2000)


@audited
class Stamped(models.Model):
    by = models.CharField(max_length=50, default="")

    class Meta:
        abstract = True


class Letter(Stamped):
    text = models.CharField(max_length=50, default="")


@audited
class ApiToken(models.Model):
    key = models.CharField(max_length=50)

    def __str__(self) -> str:
        return str(self.key)


class Plain(models.Model):
    """Nobody audits this one."""

    name = models.CharField(max_length=50)
    original = models.CharField(max_length=50)
    queryset = models.CharField(max_length=50)
    friends = models.ManyToManyField("self")
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True)
