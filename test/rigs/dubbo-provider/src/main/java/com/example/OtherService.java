package com.example;

public interface OtherService {
    String echo(String text);
}
